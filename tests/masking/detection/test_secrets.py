"""Credentials by their form: each is found where it stands, whole, and nothing else; in work linear in the text.

The examples stand in pieces with the formats themselves, and so do those here: a scanner of source code, which these
files pass through, would otherwise take them for real.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest
import re2
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.detection import secrets
from headgate.masking.detection.secrets import FORMATS_FILE, find_secrets, formats, gate, names_secret, suspects

ENTRIES = {entry["id"]: entry for entry in yaml.safe_load(FORMATS_FILE.read_text(encoding="utf-8"))}
TOKEN = "gh" + "p_" + "aB3dE6" * 6
JWT = "ey" + "JhbGciOiJub25lIn0" + ".ey" + "JzdWIiOiJ4In0" + ".aB3-_aB3"


def _joined(pieces: Any) -> str:
    if isinstance(pieces, str):
        return pieces
    return "".join(piece if isinstance(piece, str) else piece[0] * piece[1] for piece in pieces)


def _positives() -> Iterator[Any]:
    for name, entry in ENTRIES.items():
        for at, example in enumerate(entry["positive"]):
            text = example.get("before", ""), _joined(example["secret"]), example.get("after", "")
            yield pytest.param(name, *text, id=f"{name}-{at}")


def _negatives() -> Iterator[Any]:
    for name, entry in ENTRIES.items():
        for at, example in enumerate(entry["negative"]):
            yield pytest.param(name, _joined(example), id=f"{name}-{at}")


POSITIVES, NEGATIVES = list(_positives()), list(_negatives())


def _found(text: str, key: str = "") -> list[str]:
    return [text[start:end] for start, end, _ in find_secrets(text, key)]


@pytest.fixture
def alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The format under test, without any other that might find the same."""
    only = tuple(known for known in formats() if known.id == request.getfixturevalue("name"))
    monkeypatch.setattr(secrets, "_possible", lambda text: only if re2.search(only[0].gate, text) else ())


@pytest.mark.parametrize(("name", "before", "secret", "after"), POSITIVES)
@pytest.mark.usefixtures("alone")
def test_each_format_finds_its_examples_alone(name: str, before: str, secret: str, after: str) -> None:
    score = ENTRIES[name].get("score", 1.0)
    assert find_secrets(before + secret + after) == [(len(before), len(before + secret), score)]


@pytest.mark.parametrize(("name", "before", "secret", "after"), POSITIVES)
def test_all_formats_together_hide_each_example(name: str, before: str, secret: str, after: str) -> None:
    found = find_secrets(before + secret + after)
    assert any(start <= len(before) and end >= len(before + secret) for start, end, _ in found), name


@pytest.mark.parametrize(("name", "text"), NEGATIVES)
@pytest.mark.usefixtures("alone")
def test_no_format_finds_what_only_resembles_it(name: str, text: str) -> None:
    assert find_secrets(text) == [], name


def test_there_are_formats_for_what_is_common() -> None:
    assert len(formats()) == len(ENTRIES) >= 60


@pytest.mark.parametrize("name", ENTRIES)
def test_each_format_has_examples_of_both_kinds(name: str) -> None:
    assert ENTRIES[name]["positive"]
    assert ENTRIES[name]["negative"]


def test_the_data_file_holds_no_whole_credential() -> None:
    """But for passwords, which have no form."""
    lines = FORMATS_FILE.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if _found(line) and "made-up" not in line] == []


@pytest.mark.parametrize(
    "before",
    [
        "token=",
        '"',
        "'",
        "https://x.internal/?t=",
        "a%3D",
        "x\\n",
        "(",
        "\u00e9",
        "\u4e2d",
        "=",
        ":",
        "/",
        "_",
        "-",
        "\n",
        "[",
    ],
)
@pytest.mark.parametrize("after", ["", '"', "'", "&a=1", "%22", "\\n", ")", ";", ",", " and", "\n", "]"])
@pytest.mark.parametrize("secret", [TOKEN, "AK" + "IA" + "QX3F" * 4, JWT])
def test_a_credential_is_found_whatever_it_stands_between(before: str, secret: str, after: str) -> None:
    if secret == JWT and before in ("_", "-"):
        before += "="
    assert _found(before + secret + after) == [secret]


@pytest.mark.parametrize("text", ["x" + TOKEN, "AK" + "IA" + "QX3F" * 5, "9" + JWT, "t" + "sk-" + "aB3d" * 12])
def test_part_of_a_longer_word_is_no_credential(text: str) -> None:
    assert _found(text) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SecretAccessKey", "Ab1/" * 10),
        ("aws_secret_access_key", "Ab1/" * 10),
        ("AWS-Secret-Access-Key", "Ab1/" * 10),
        ("accountKey", "aB3+" * 21 + "ab=="),
        ("TWILIO_AUTH_TOKEN", "0a1b" * 8),
        ("Authorization", "Token a1b2c3d4"),
        ("proxyAuthorization", "Splunk a1b2c3d4"),
    ],
)
def test_the_name_that_a_value_stands_under_can_show_it(key: str, value: str) -> None:
    credential = value.rpartition(" ")[2]
    assert names_secret(key)
    assert _found(value, key) == [credential]
    assert _found(value, "note") == []


def test_a_name_says_nothing_of_what_has_not_the_form() -> None:
    assert find_secrets("see the manual", "aws_secret_access_key") == []
    assert not names_secret("title")


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgres://app:p@ss@db:5432/x", "app:p@ss"),
        ("postgres://app:s/l#a?s@db/x", "app:s/l#a?s"),
        ("https://u:p@a.internal and https://v:q@b.internal", "u:p v:q"),
        ("redis://:only@cache/0", ":only"),
        ("https://u:[SECRET]@a.internal", "u:[SECRET]"),
    ],
)
def test_of_an_address_user_and_password_are_hidden(text: str, hidden: str) -> None:
    assert " ".join(_found(text)) == hidden


@pytest.mark.parametrize(
    "text",
    [
        "https://[SECRET]@git.internal/r",
        "postgres://[SECRET]@db/app",
        "Authorization: Bearer [SECRET]",
        "AWS_SECRET_ACCESS_KEY=[SECRET]",
        "Server=db;Password=[SECRET];",
        "jdbc:mysql://db/app?password=[SECRET]",
        "https://hooks.slack.com/services/[SECRET]",
        "[SECRET]",
    ],
)
def test_what_is_redacted_is_not_found_again(text: str) -> None:
    assert find_secrets(text) == []


def test_a_private_key_is_hidden_to_its_end_and_no_further() -> None:
    begin, end = "-----BEGIN " + "PRIVATE KEY-----", "-----END " + "PRIVATE KEY-----"
    for line in ("\n", "\r\n", "\\n", " "):
        key = f"{begin}{line}{('MIIE' * 16 + line) * 3}{end}"
        assert _found(f"key: {key}{line}and more") == [key]


def test_a_private_key_without_end_is_hidden_to_the_end_of_the_text() -> None:
    key = "-----BEGIN " + "EC PRIVATE KEY-----\n" + "MIIE" * 16 + "\n---- cut ---- here"
    assert _found("x " + key) == [key]


def test_two_private_keys_and_what_is_between_them() -> None:
    key = "-----BEGIN " + "PRIVATE KEY-----\nMIIE\n-----END " + "PRIVATE KEY-----"
    assert _found(f"{key}\nbetween\n{key}") == [key, key]


def test_overlapping_findings_become_one() -> None:
    text = f"Authorization: Bearer {JWT}"
    assert find_secrets(text) == [(22, len(text), 1.0)]
    assert secrets._merged([(0, 5, 0.5), (3, 9, 0.7), (9, 12, 0.2), (1, 2, 1.0)]) == [(0, 9, 1.0), (9, 12, 0.2)]


@pytest.mark.parametrize(
    "text", ["", "\ud800", "\ud800 " + TOKEN, "\x00" + TOKEN, "\U0001f600" + TOKEN, "\u0130 Bearer"]
)
def test_any_text_can_be_looked_at(text: str) -> None:
    assert _found(text) == ([TOKEN] if TOKEN in text else [])


def test_case_folds_in_ascii_alone() -> None:
    """`\u0130`.lower() is longer than itself, and the Kelvin sign is a `k` only to Unicode."""
    value = "Ab1/" * 10
    assert _found("\u0130" * 9 + f"AWS_Secret_Access_KEY={value}") == [value]
    assert _found(f"AWS_SECRET_ACCESS_\u212aEY={value}") == []


@pytest.mark.parametrize(("name", "before", "secret", "after"), POSITIVES)
def test_no_example_gets_past_the_gate(name: str, before: str, secret: str, after: str) -> None:
    text = before + secret + after
    own = next(known.gate for known in formats() if known.id == name)
    assert re.search(own, text)
    assert re2.search(own, text)
    assert re.search(gate(), text)
    assert suspects(["nothing", text, "nothing"])


def test_one_wrong_gate_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests of the examples rest on: a gate that lets a format's own example go hides the finding."""
    closed = tuple(replace(known, gate="(?:never)") for known in formats())
    monkeypatch.setattr(secrets, "formats", lambda: closed)
    for made in (secrets._groups, secrets._whole_gate, gate):
        made.cache_clear()
    try:
        assert find_secrets(TOKEN) == []
    finally:
        for made in (secrets._groups, secrets._whole_gate, gate):
            made.cache_clear()


def test_suspects_are_told_from_many_texts_in_one_pass() -> None:
    texts = [
        "plain",
        TOKEN,
        "",
        "\u00e9" * 40,
        f"a {TOKEN} b {TOKEN}",
        "gh",
        "p_x",
        "https://x.internal/a",
        "Basic facts",
    ]
    assert suspects(texts) == [1, 4]
    assert suspects([]) == []


@given(
    st.lists(
        st.sampled_from(
            ["gh", "p_", "AK", "IA", "ey", "J", "://a:b", "@", "Bearer ", "x", "\n", "\u4e2d", "9" * 9, TOKEN]
        )
    )
)
def test_no_suspect_is_passed_over_and_no_finding_is_outside_the_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    found = find_secrets(text)
    assert (0 in suspects([text])) >= bool(found)
    assert all(0 <= start < end <= len(text) for start, end, _ in found)
    assert all(before[1] <= after[0] for before, after in pairwise(found))


class _Counting:
    """A pattern that counts its tries, and the characters that its matches cover."""

    def __init__(self, pattern: re.Pattern[str], runs: list[int]) -> None:
        self._pattern, self._runs, self.groupindex = pattern, runs, pattern.groupindex

    def match(self, text: str, at: int) -> re.Match[str] | None:
        self._runs.append(at)
        return self._pattern.match(text, at)


def _runs(text: str, monkeypatch: pytest.MonkeyPatch) -> int:
    runs: list[int] = []
    counting = tuple(replace(known, pattern=_Counting(known.pattern, runs)) for known in formats())
    with monkeypatch.context() as patched:
        patched.setattr(secrets, "_possible", lambda _: counting)
        find_secrets(text)
    return len(runs)


HOSTILE = [
    *sorted({keyword for known in formats() for keyword in known.keywords}),
    *("eyJ-", "eyJa.", "%3DeyJ", "://a:b@", "redis://a:", "bearer a ", "Bearer aaaaaaaaaaaaaaaaaaaaaaaa "),
    *("password=a;a ", "jdbc:a?", "-----BEGIN PRIVATE " + "KEY-----", "-----END ", "secret_access_key="),
    *("a.", "a-", "1 "),
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_tries_grow_no_faster_than_the_text(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One try for each keyword that stands in the text, of which a few may begin at the same place."""
    short, long = (_runs((piece * 16_384)[:size], monkeypatch) for size in (4096, 16_384))
    assert long <= 4 * short + 100
    assert long <= 3 * 16_384 // min(len(piece), 3)


def _repeats(tree: Any) -> Iterator[tuple[Any, int, Any]]:
    for op, argument in tree:
        if op in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            yield op, argument[1], argument[2]
            yield from _repeats(argument[2])
        elif op is codes.BRANCH:
            for branch in argument[1]:
                yield from _repeats(branch)
        elif op is codes.SUBPATTERN:
            yield from _repeats(argument[3])
        elif op in (codes.ASSERT, codes.ASSERT_NOT):
            yield from _repeats(argument[1])
        elif op is codes.ATOMIC_GROUP:
            yield from _repeats(argument)


@pytest.mark.parametrize("known", formats(), ids=lambda known: known.id)
def test_whatever_goes_on_without_end_gives_nothing_back(known: secrets.Format) -> None:
    """A repeat that may be tried again at each length is bounded; so one try reads each character a few times."""
    for op, most, _ in _repeats(parser.parse(known.pattern.pattern, known.pattern.flags)):
        assert op is codes.POSSESSIVE_REPEAT or most <= 300


@pytest.mark.parametrize("known", formats(), ids=lambda known: known.id)
def test_the_longest_is_told_of_each_format(known: secrets.Format) -> None:
    """As far as a pattern itself has a limit, what is told is no less; examples are within it."""
    width = parser.parse(known.pattern.pattern, known.pattern.flags).getwidth()[1]
    endless = width >= 2**31
    assert known.longest is None or endless or known.longest >= width
    if known.longest is not None:
        for example in ENTRIES[known.id]["positive"]:
            assert len(_joined(example["secret"])) <= known.longest


@pytest.mark.parametrize("known", formats(), ids=lambda known: known.id)
def test_every_match_begins_at_one_of_its_keywords(known: secrets.Format) -> None:
    """A keyword stands `offset` characters into each match; otherwise the pattern is never tried there."""
    for example in ENTRIES[known.id]["positive"]:
        text = example.get("before", "") + _joined(example["secret"]) + example.get("after", "")
        source = text.lower() if known.folded else text
        starts = [match.start() for match in known.pattern.finditer(text)]
        assert starts
        assert all(source.startswith(known.keywords, at + known.offset) for at in starts)


def test_formats_are_read_once() -> None:
    assert formats() is formats()
