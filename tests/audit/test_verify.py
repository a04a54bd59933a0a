"""Whatever is done to a log, `verify` says so, and calls it by its right name.

A log of 23 entries has checkpoints of 5, 10, 15, 20 and 23 entries.
"""

import random
import shutil
import sqlite3
from contextlib import closing
from hashlib import shake_128

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.audit.logs import NOW, build, entropy, forged, found, opened, rehash

from headgate.audit.keys import load_key
from headgate.audit.merkle import Frontier, leaf_hash
from headgate.audit.pruning import prune_bodies
from headgate.audit.verify import verify
from headgate.errors import HeadgateError

COUNT = 23
EVERY = range(1, COUNT + 1)
SIZES = [5, 10, 15, 20, 23]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log") / "state"
    build(folder, COUNT)
    return folder


@pytest.fixture
def state(original, tmp_path):
    return shutil.copytree(original, tmp_path / "state")


@pytest.fixture(scope="module")
def emitted(original):
    with opened(original) as connection:
        return [note for (note,) in connection.execute("select note from checkpoints order by size")]


def covering(seq):
    """The stretch between two checkpoints that an entry is in."""
    end = next(size for size in SIZES if size >= seq)
    return max([size + 1 for size in SIZES if size < seq], default=1), end


def test_a_log_that_nobody_touched_verifies(state, emitted):
    report = verify(state, given=emitted)
    assert (report.ok, report.entries, report.checkpoints, report.given) == (True, COUNT, 5, 5)
    assert (report.tail, report.pruned, report.crashes) == (None, 0, ())
    with opened(state) as connection:
        (root,) = connection.execute("select hex(root) from checkpoints where size = 23").fetchone()
    assert report.root == root.lower()


# -- rows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seq", EVERY)
def test_a_body_that_is_changed_is_altered(seq, state):
    with opened(state) as connection:
        connection.execute("update entries set body = replace(body, 'tested', 'tested!') where seq = ?", [seq])
    assert found(state) == [("altered", seq, seq)]


@pytest.mark.parametrize("seq", EVERY)
def test_a_hash_that_is_changed_is_altered(seq, state):
    with opened(state) as connection:
        connection.execute("update entries set leaf = zeroblob(32) where seq = ?", [seq])
    assert found(state) == [("altered", seq, seq)]


@pytest.mark.parametrize("seq", EVERY)
def test_a_body_that_is_changed_with_its_hash_is_rewritten(seq, state):
    body = forged(seq)
    with opened(state) as connection:
        values = [body, leaf_hash(body.encode()), seq]
        connection.execute("update entries set body = ?, leaf = ? where seq = ?", values)
    assert found(state) == [("rewritten", *covering(seq))]


@pytest.mark.parametrize("seq", range(1, COUNT))
def test_an_entry_that_is_left_out_is_missing(seq, state):
    with opened(state) as connection:
        connection.execute("delete from entries where seq = ?", [seq])
    assert found(state) == [("missing", seq, seq)]


@pytest.mark.parametrize("seq", EVERY)
@pytest.mark.parametrize("covers", [False, True])
def test_entries_cut_off_at_the_end_are_truncated(seq, covers, state):
    with opened(state) as connection:
        connection.execute("delete from entries where seq >= ?", [seq])
        if covers:
            rehash(connection)
    assert found(state) == [("truncated", seq, COUNT)]


@pytest.mark.parametrize("seq", range(1, COUNT))
@pytest.mark.parametrize("covers", [False, True])
def test_an_entry_taken_out_and_the_rest_numbered_anew_is_truncated_and_rewritten(seq, covers, state):
    with opened(state) as connection:
        connection.execute("delete from entries where seq = ?", [seq])
        for later in range(seq + 1, COUNT + 1):
            connection.execute("update entries set seq = ? where seq = ?", [later - 1, later])
        if covers:
            rehash(connection)
    stretches = dict.fromkeys(covering(at) for at in range(seq, COUNT) if covering(at)[1] < COUNT)
    assert found(state) == [*(("rewritten", *stretch) for stretch in stretches), ("truncated", COUNT, COUNT)]


@pytest.mark.parametrize("seq", EVERY)
@pytest.mark.parametrize("covers", [False, True])
def test_an_entry_slipped_in_is_rewritten(seq, covers, state):
    with opened(state) as connection:
        for later in range(COUNT, seq - 1, -1):
            connection.execute("update entries set seq = ? where seq = ?", [later + 1, later])
        body = forged(seq)
        connection.execute("insert into entries values (?, ?, ?)", [seq, body, leaf_hash(body.encode())])
        if covers:
            rehash(connection)
    stretches = dict.fromkeys(covering(at) for at in range(seq, COUNT + 1))
    grown = [] if covers else [("rewritten", COUNT + 1, COUNT + 1)]
    assert found(state) == [*(("rewritten", *stretch) for stretch in stretches), *grown]


@pytest.mark.parametrize("pair", [(1, 2), (5, 6), (1, 23), (11, 14), (22, 23)])
@pytest.mark.parametrize("covers", [False, True])
def test_entries_that_are_swapped_are_rewritten(pair, covers, state):
    one, other = pair
    with opened(state) as connection:
        for before, after in ((one, -1), (other, one), (-1, other)):
            connection.execute("update entries set seq = ? where seq = ?", [after, before])
        if covers:
            rehash(connection)
    assert found(state) == [("rewritten", *stretch) for stretch in dict.fromkeys(map(covering, pair))]


def test_bodies_that_are_swapped_without_their_hashes_are_altered(state):
    with opened(state) as connection:
        (first,), (second,) = connection.execute("select body from entries where seq in (3, 4) order by seq")
        connection.execute(
            "update entries set body = case seq when 3 then ? else ? end where seq in (3, 4)", [second, first]
        )
    assert found(state) == [("altered", 3, 3), ("altered", 4, 4)]


@pytest.mark.parametrize("seq", [0, -1, -(2**63), COUNT + 1, COUNT + 2, 2**62])
def test_an_entry_with_a_number_of_its_own_is_noticed(seq, state):
    body = forged(seq % 100)
    with opened(state) as connection:
        connection.execute("insert into entries values (?, ?, ?)", [seq, body, leaf_hash(body.encode())])
    verdicts = found(state)
    assert ("rewritten", seq if seq < 1 else COUNT + 1, seq) in verdicts
    assert len(verdicts) == (2 if seq > COUNT + 1 else 1)


def test_a_swap_in_the_stretch_of_an_altered_entry_is_not_hidden_by_it(state):
    with opened(state) as connection:
        connection.execute("update entries set body = body || ' ' where seq = 12")
        for before, after in ((13, -1), (14, 13), (-1, 14)):
            connection.execute("update entries set seq = ? where seq = ?", [after, before])
    assert found(state) == [("rewritten", 11, 15), ("altered", 12, 12)]


# -- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_a_checkpoint_that_is_gone_is_noticed_by_the_count(size, state):
    with opened(state) as connection:
        connection.execute("delete from checkpoints where size = ?", [size])
    assert ("checkpoints-removed", 0, 0) in found(state)


@pytest.mark.parametrize("size", SIZES)
def test_a_checkpoint_that_is_gone_is_noticed_by_the_one_kept_elsewhere(size, state, emitted):
    with opened(state) as connection:
        connection.execute("delete from checkpoints where size = ?", [size])
        connection.execute("update tree set checkpoints = 4")
    (state / "keys" / "audit.last").unlink()
    assert found(state) == []
    assert found(state, given=emitted) == [("checkpoints-removed", size, size)]


def test_the_last_checkpoint_is_remembered_with_the_key(state):
    with opened(state) as connection:
        connection.execute("delete from entries where seq > 20")
        connection.execute("delete from checkpoints where size > 20")
        rehash(connection)
    assert found(state) == [("truncated", 21, 23), ("checkpoints-removed", 23, 23)]


@pytest.mark.parametrize(
    "change",
    [
        "root = zeroblob(32)",
        "root = x''",
        "size = 9",
        "frontier = zeroblob(64)",
        "frontier = x''",
        "note = replace(note, '10', '11')",
        "note = (select note from checkpoints where size = 15)",
        "note = ''",
        "note = 'garbage'",
    ],
)
def test_a_checkpoint_that_is_changed_is_forged(change, state):
    with opened(state) as connection:
        connection.execute(f"update checkpoints set {change} where size = 10")  # noqa: S608 - ours
    assert {verdict for verdict, _, _ in found(state)} == {"checkpoint-forged"}


def resign(connection, key):
    """What somebody who holds a key can do: sign everything as it is now."""
    tree = Frontier()
    leaves = [leaf for (leaf,) in connection.execute("select leaf from entries order by seq")]
    sizes = [size for (size,) in connection.execute("select size from checkpoints order by size")]
    for size in sizes:
        tree.extend(leaves[tree.size : size])
        values = [tree.root(), key.sign(size, tree.root()), tree.packed(), size]
        connection.execute("update checkpoints set root = ?, note = ?, frontier = ? where size = ?", values)


def rewrite(state, key):
    with opened(state) as connection:
        connection.execute("update entries set body = ? where seq = 7", [forged(7)])
        rehash(connection)
        resign(connection, key)


def test_checkpoints_signed_by_another_key_are_forged(state, tmp_path):
    rewrite(state, load_key(tmp_path / "other", entropy, load_key(state, entropy).origin))
    assert [finding for finding in found(state) if finding[0] != "rewritten"] == [
        ("checkpoint-forged", size, size) for size in SIZES
    ]


def test_who_holds_the_key_can_sign_again_and_is_found_by_a_checkpoint_kept_elsewhere(state, emitted):
    rewrite(state, load_key(state, entropy))
    (state / "keys" / "audit.last").unlink()
    assert found(state) == [], "this is what a log cannot prove by itself"
    for note in emitted[:1]:
        assert found(state, given=[note]) == []
    for size, note in zip(SIZES[1:], emitted[1:], strict=True):
        assert found(state, given=[note]) == [("rewritten", 1, size)]
    assert found(state, given=emitted) == [("rewritten", 6, 10)]


def test_a_log_replaced_with_its_key_is_found_by_either_kept_elsewhere(state, emitted):
    verifier = (state / "keys" / "audit.pub").read_text()
    shutil.rmtree(state)
    build(state)
    assert found(state) == []
    assert found(state, given=emitted) == [("checkpoint-forged", 0, 0)]
    assert ("checkpoint-forged", 23, 23) in found(state, verifier=verifier)


def test_checkpoints_of_other_logs_are_passed_over_beside_ones_of_this(state, emitted, tmp_path):
    build(tmp_path / "other")
    with opened(tmp_path / "other") as connection:
        others = [note for (note,) in connection.execute("select note from checkpoints")]
    report = verify(state, given=[*others, *emitted])
    assert (report.ok, report.given, report.foreign) == (True, 5, 5)


@pytest.mark.parametrize("given", [[], [""], ["nothing of interest\n"]])
def test_being_given_no_checkpoint_is_no_success(given, state):
    with pytest.raises(HeadgateError, match="no checkpoint was found"):
        verify(state, given=given)


# -- what is no error -------------------------------------------------------------------------------------------------


def test_entries_after_the_last_checkpoint_are_told_of(state, start):
    writer = start()
    writer.put(lambda: {"kind": "act", "time": "2027-01-15T09:00:00.000Z"})
    writer.flush(20)
    report = verify(state)
    assert report.ok
    assert (report.tail.first, report.tail.last, report.tail.since) == (24, 24, "2027-01-15T09:00:00.000Z")


@pytest.mark.parametrize("change", ["leaf = zeroblob(32)", "body = body || ' '"])
def test_an_altered_tail_is_noticed(change, state, start):
    writer = start()
    writer.put(lambda: {"kind": "act", "time": "2027-01-15T09:00:00.000Z"})
    writer.flush(20)
    with opened(state) as connection:
        connection.execute(f"update entries set {change} where seq = 24")  # noqa: S608 - ours
    assert found(state) == [("altered", 24, 24)]


def test_a_tail_that_is_hashed_again_does_not_lead_to_the_tree_that_was_kept(state, start):
    writer = start()
    writer.put(lambda: {"kind": "act", "time": "2027-01-15T09:00:00.000Z"})
    writer.flush(20)
    body = forged(24)
    with opened(state) as connection:
        connection.execute("update entries set body = ?, leaf = ? where seq = 24", [body, leaf_hash(body.encode())])
    assert found(state) == [("rewritten", 24, 24)]


def test_pruned_bodies_are_counted_where_an_act_says_so(state):
    assert prune_bodies(state, NOW + 8.5, by="ana", now=NOW + 100, randomness=entropy) == 8
    report = verify(state)
    assert (report.ok, report.pruned, report.entries) == (True, 8, 24)
    assert prune_bodies(state, NOW + 8.5, by="ana", now=NOW + 100, randomness=entropy) == 0
    with opened(state) as connection:
        connection.execute("update entries set body = null where seq in (10, 11, 13)")
    assert found(state) == [("pruned-unrecorded", 10, 11), ("pruned-unrecorded", 13, 13)]


def test_an_altered_entry_is_not_pruned_out_of_sight(state):
    with opened(state) as connection:
        connection.execute("update entries set body = body || ' ' where seq = 4")
    with pytest.raises(HeadgateError, match="entry 4 of the audit log is altered"):
        prune_bodies(state, NOW + 8.5, by="ana", now=NOW + 100, randomness=entropy)
    assert found(state) == [("altered", 4, 4)]


def test_a_start_without_a_stop_before_it_is_told_of(state, start):
    writer = start()
    for kind in ("start", "stop", "start", "start"):
        writer.put(lambda kind=kind: {"kind": kind, "time": "2027-01-15T09:00:00.000Z"})
    writer.flush(20)
    assert verify(state).crashes == (27,)


def test_a_log_that_nothing_was_written_to_verifies(tmp_path):
    build(tmp_path / "state", 0)
    report = verify(tmp_path / "state")
    assert (report.ok, report.entries, report.checkpoints, report.tail) == (True, 0, 0, None)


def test_progress_is_told_up_to_the_end(state):
    told = []
    verify(state, progress=lambda *now: told.append(now))
    assert told[-1] == (COUNT, COUNT)


def test_it_says_so_when_there_is_no_log_or_no_key(state, tmp_path):
    with pytest.raises(HeadgateError, match=r"audit\.pub` is missing"):
        verify(tmp_path / "nowhere")
    (state / "audit.db").unlink()
    with pytest.raises(HeadgateError, match="there is no audit log"):
        verify(state)


# -- anything ---------------------------------------------------------------------------------------------------------


def content(state):
    """What the log says, for those who only read it."""
    with closing(sqlite3.connect(f"{(state / 'audit.db').as_uri()}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        entries = connection.execute("select seq, body, leaf from entries order by seq").fetchall()
        return entries, connection.execute("select size, root, note from checkpoints order by size").fetchall()


def noticed(state):
    try:
        return not verify(state).ok
    except HeadgateError:
        return True


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A log in one file, without what WAL keeps beside it."""
    folder = tmp_path_factory.mktemp("small") / "state"
    build(folder, 7, every=3)
    with closing(sqlite3.connect(folder / "audit.db")) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
        connection.execute("pragma journal_mode = delete")
    return folder, (folder / "audit.db").read_bytes(), content(folder)


def differs(small, data):
    """Write `data` in the place of the log; whether it says anything else then, and whether that is noticed."""
    folder, _, before = small
    (folder / "audit.db").write_bytes(data)
    try:
        same = content(folder) == before
    except (sqlite3.Error, ValueError):
        same = False
    return not same, noticed(folder)


def in_use(data):
    """The bytes of a database file that are not zero: most of the others stand for nothing."""
    return [at for at, byte in enumerate(data) if byte]


def test_bytes_of_the_file_are_not_changed_unnoticed(small):
    _, data, _ = small
    drawn = random.Random(6)  # noqa: S311 - the same each time
    unnoticed = []
    for at in drawn.sample(in_use(data), 600):
        changed = bytearray(data)
        changed[at] ^= 1 << drawn.randrange(8)
        says_other, is_noticed = differs(small, bytes(changed))
        if says_other and not is_noticed:
            unnoticed.append(at)
    assert unnoticed == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_stretches_of_the_file_are_not_changed_unnoticed(small, data):
    _, whole, _ = small
    start = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(1, 5000))
    other = data.draw(st.sampled_from(["cut", "zeros", "shifted", "noise", "end"]))
    changed = {
        "cut": whole[:start] + whole[start + length :],
        "zeros": whole[:start] + bytes(len(whole[start : start + length])) + whole[start + length :],
        "shifted": whole[:start] + bytes(length) + whole[start:],
        "noise": whole[:start] + shake_128(bytes([start % 256])).digest(length) + whole[start + length :],
        "end": whole[:start],
    }[other]
    says_other, is_noticed = differs(small, changed)
    assert is_noticed or not says_other


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["drop", "swap", "insert", "body", "leaf", "blank"]), st.integers(1, 23), st.integers(1, 23)
    ),
    min_size=1,
    max_size=4,
)


def tamper(connection, what, one, other):
    body = forged(one * 100 + other)
    new = leaf_hash(body.encode())
    if what == "drop":
        connection.execute("delete from entries where seq = ?", [one])
    elif what == "swap":
        for before, after in ((one, -9), (other, one), (-9, other)):
            connection.execute("update or ignore entries set seq = ? where seq = ?", [after, before])
    elif what == "insert":
        connection.execute("insert or replace into entries values (?, ?, ?)", [one, body, new])
    elif what == "body":
        connection.execute("update entries set body = ? where seq = ?", [body, one])
    elif what == "leaf":
        connection.execute("update entries set leaf = ? where seq = ?", [new, one])
    else:
        connection.execute("update entries set body = null where seq = ?", [one])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(operations=OPERATIONS, covers=st.booleans())
def test_rows_are_not_changed_unnoticed(original, tmp_path_factory, operations, covers):
    state = shutil.copytree(original, tmp_path_factory.mktemp("rows") / "state")
    before = content(state)
    with opened(state) as connection:
        for operation in operations:
            tamper(connection, *operation)
        if covers and not connection.execute("select 1 from entries where body is null").fetchone():
            rehash(connection)
    assert noticed(state) == (content(state) != before)
    shutil.rmtree(state)
