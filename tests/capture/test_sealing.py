"""An original is read by the holder of the private key and by nobody else, least of all in the file it is kept in."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.capture.record import MAX_BODY, Line
from headgate.capture.sealing import Original, Part, Sealer, make_pair, opened, part_of, read_private, read_public
from headgate.capture.store import Store
from headgate.errors import HeadgateError

PATIENCE = 20.0
SECRET = b"s3cr3t-078-05-1120"
LINE = Line(b"POST", "https", "refunds.internal", 443, b"/v1/refunds?ssn=" + SECRET, b"HTTP/1.1")
ORIGINAL = Original(
    LINE, Part(((b"X-Note", SECRET),), b"asked " + SECRET, 99), 200, Part(((b"x", b"\xff"),), SECRET, len(SECRET))
)


def same(original):
    return original


@pytest.fixture
def pair(tmp_path):
    """The files of a private and a public key."""
    private, public = tmp_path / "private", tmp_path / "public"
    texts = make_pair(lambda size: b"r" * size)
    private.write_text(texts[0])
    public.write_text(texts[1])
    return private, public


@pytest.fixture
def sealer(pair):
    return Sealer(read_public(pair[1]), same)


def test_what_was_sealed_is_opened_with_the_private_key(pair, sealer):
    assert opened(sealer.seal(ORIGINAL), read_private(pair[0])) == ORIGINAL


def test_nothing_of_it_stands_in_clear(sealer):
    sealed = sealer.seal(ORIGINAL)
    assert SECRET not in sealed
    assert b"refunds" not in sealed
    assert sealer.seal(ORIGINAL) != sealed, "not even that two are the same"


def test_another_key_opens_nothing(sealer, tmp_path):
    (tmp_path / "other").write_text(make_pair(lambda size: b"o" * size)[0])
    with pytest.raises(HeadgateError, match="cannot be opened with this key"):
        opened(sealer.seal(ORIGINAL), read_private(tmp_path / "other"))


@given(at=st.integers(0, 10_000), by=st.integers(1, 255))
@settings(max_examples=60)
def test_one_with_any_byte_changed_is_damaged(at, by):
    private, public = make_pair(lambda size: b"r" * size)
    key = Sealer(_bytes(public), same)
    sealed = bytearray(key.seal(ORIGINAL))
    sealed[at % len(sealed)] = (sealed[at % len(sealed)] + by) % 256
    with pytest.raises(HeadgateError):
        opened(bytes(sealed), _bytes(private))


def _bytes(line):
    import base64

    return base64.b64decode(line.partition(":")[2])


@given(
    method=st.binary(max_size=9),
    fields=st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=4).map(tuple),
    bodies=st.tuples(st.none() | st.binary(max_size=99), st.none() | st.binary(max_size=99)),
    answered=st.booleans(),
)
def test_whatever_travelled_comes_back(method, fields, bodies, answered):
    private, public = make_pair(lambda size: b"r" * size)
    response = part_of(fields, bodies[1]) if answered else None
    original = Original(replace(LINE, method=method), part_of(fields, bodies[0]), 200 if answered else None, response)
    assert opened(Sealer(_bytes(public), same).seal(original), _bytes(private)) == original


def test_a_long_body_is_cut_and_its_size_still_told():
    part = part_of((), b"x" * (MAX_BODY + 5))
    assert (len(part.body), part.size) == (MAX_BODY, MAX_BODY + 5)


# -- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a key; accepted: a public key made by `headgate flows keys`"),
        ("headgate-seal-public:AAAA", "is not a key"),
        ("headgate-seal-public:%%%%", "is not a key"),
        ("headgate-seal-public:" + "A" * 43 + "=", "is not a key that can be sealed to"),
        ("s3cr3t" * 500, "is not a key"),
    ],
    ids=["empty", "too short", "no base64", "no point of the curve", "something else"],
)
def test_what_is_no_public_key_is_refused_without_being_quoted(text, message, tmp_path):
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(HeadgateError, match=message) as raised:
        read_public(path)
    assert "s3cr3t" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_private_key_is_not_taken_for_a_public_one_nor_the_other_way_round(pair):
    with pytest.raises(HeadgateError, match="holds a private key, which must stay away from this proxy") as raised:
        read_public(pair[0])
    assert pair[0].read_text().partition(":")[2].strip() not in str(raised.value)
    with pytest.raises(HeadgateError, match="holds a public key, which opens nothing"):
        read_private(pair[1])


def test_a_key_that_is_not_there(tmp_path):
    with pytest.raises(HeadgateError, match="cannot be read: no such file"):
        read_public(tmp_path / "none")


# -- in the file ------------------------------------------------------------------------------------------------------


def test_it_is_kept_beside_the_record_and_read_with_the_key(start, record, state, pair, sealer):
    writer = start(sealer=sealer)
    writer.put(record(0, original=ORIGINAL))
    writer.put(record(1))
    assert writer.flush(PATIENCE)
    store = Store(state)
    assert [entry.sealed for entry in store.walk()] == [True, False]
    assert store.original(record(0).decision_id, read_private(pair[0])) == ORIGINAL
    assert SECRET not in b"".join(path.read_bytes() for path in state.glob("capture.db*"))
    with pytest.raises(HeadgateError, match="no original was kept: that takes `headgate_capture=sealed`"):
        store.original(record(1).decision_id, read_private(pair[0]))


def test_credentials_are_taken_off_before_it_is_sealed(start, record, state, pair):
    def strip(original):
        return replace(original, request=Part(((b"X-Note", b"[redacted]"),), b"", 0))

    writer = start(sealer=Sealer(read_public(pair[1]), strip))
    writer.put(record(original=ORIGINAL))
    assert writer.flush(PATIENCE)
    kept = Store(state).original(record().decision_id, read_private(pair[0]))
    assert kept.request.headers == ((b"X-Note", b"[redacted]"),)


def test_one_that_cannot_be_sealed_is_not_kept_and_its_record_is(start, record, state, pair, log):
    def fail(original):
        raise ValueError(repr(original.request.body))

    writer = start(sealer=Sealer(read_public(pair[1]), fail))
    for n in range(2):
        writer.put(record(n, original=ORIGINAL))
    assert writer.flush(PATIENCE)
    assert [entry.sealed for entry in Store(state).walk()] == [False, False]
    assert log.heard("an original could not be sealed, and is not kept: ValueError") == 1
    assert not log.heard("s3cr3t")


def test_without_a_key_nothing_is_kept_of_one(start, record, state):
    writer = start()
    writer.put(record(original=ORIGINAL))
    assert writer.flush(PATIENCE)
    assert not Store(state).entry(record().decision_id).sealed
    assert SECRET not in b"".join(path.read_bytes() for path in state.glob("capture.db*"))


def test_originals_count_towards_what_may_wait(record):
    assert record(original=ORIGINAL).weight > record().weight + len(SECRET)
    assert "s3cr3t" not in repr(record(original=ORIGINAL))
