"""One spelling for each path, or none."""

import re
import unicodedata
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st

from headgate.identity.paths import MAX_PATH, canonical, query_refusal
from headgate.identity.reasons import Malformed
from headgate.model import PathRules
from headgate.policy.paths_spec import PathsSpec

PIECES = st.sampled_from(
    [
        "/", "//", ".", "..", "%2e", "%2E", "%2f", "%5c", "%25", "%41", "a", "A", "H", "é", ";", "%3b", "*", "#", "%20",
        "u002e", "%C3%A9", "%C3%89", "%CC%81", "%CC%B1", "%EF%BC%8F", "%C4%B1", "%E2%80%8C", "[",
    ]
)  # fmt: skip
PATHS = st.one_of(st.text(), st.lists(PIECES).map(lambda parts: "/" + "".join(parts)))
RULES = st.builds(PathRules, *[st.booleans()] * 4)


def test_the_table(path_case: Any) -> None:
    expected = path_case.get("canonical") or Malformed(path_case["refused"])
    rules = PathsSpec.model_validate(path_case.get("rules", {})).rules()
    assert canonical(path_case["path"], rules) == expected
    assert canonical(path_case["path"].encode("latin-1"), rules) == expected
    if "rules" in path_case:
        assert canonical(path_case["path"]) != expected or isinstance(expected, Malformed), "it loosens nothing"


@given(PATHS, RULES)
def test_a_canonical_path_is_its_own_canonical_form(path: str, rules: PathRules) -> None:
    once = canonical(path, rules)
    assert isinstance(once, Malformed) or canonical(once, rules) == once


@given(PATHS)
def test_a_canonical_path_decodes_to_what_the_received_one_does(path: str) -> None:
    once = canonical(path)
    if not isinstance(once, Malformed):
        assert unquote_to_bytes(once) == unquote_to_bytes(path)


@given(PATHS, RULES)
def test_what_is_loosened_is_all_that_changes(path: str, rules: PathRules) -> None:
    """Beyond case and slashes side by side, the path that goes on is the one that came."""
    once = canonical(path, rules)
    if isinstance(once, Malformed):
        return
    received, sent = unquote_to_bytes(path), unquote_to_bytes(once)
    if rules.merge_slashes and not rules.encoded_slash:
        received = re.sub(b"/+", b"/", received)
    assert rules.encoded_slash or (received.lower() if rules.fold_case else received) == sent


@given(PATHS, RULES)
def test_a_path_that_needs_no_loosening_is_the_same_for_every_target(path: str, rules: PathRules) -> None:
    strict = canonical(path)
    if not isinstance(strict, Malformed):
        loose = canonical(path, rules)
        assert loose == strict or (rules.fold_case and (loose is Malformed.PATH_CASE or loose != strict))


@given(PATHS, RULES)
def test_no_canonical_path_holds_what_parsers_disagree_on(path: str, rules: PathRules) -> None:
    once = canonical(path, rules)
    if isinstance(once, Malformed):
        return
    assert re.fullmatch(r"[!-~]+", once)
    assert not re.search("//|%(?![0-9A-F]{2})|[?#*]", once)
    for segment in once[1:].split("/"):
        decoded = unquote_to_bytes(segment).decode()
        assert not re.search(r"[\\*#?\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}|%u[0-9a-f]{4}", decoded)
        assert rules.encoded_slash or "/" not in decoded
        assert rules.parameters or ";" not in decoded
        assert not {".", ".."} & set(re.split("[/;]", decoded))
        assert not rules.fold_case or decoded == decoded.casefold()
        wide = unicodedata.normalize("NFKC", decoded)
        for structural in "/\\.;*#?%":
            assert wide.count(structural) == decoded.count(structural)


@given(st.text(st.characters(blacklist_categories=["Cs"]), min_size=1))
def test_every_spelling_of_a_segment_becomes_the_same_path(segment: str) -> None:
    spelled_out = "/" + "".join(f"%{byte:02x}" for byte in segment.encode())
    assert canonical(spelled_out) == canonical("/" + quote(segment, safe="!$&'()+,=:@"))


@given(st.integers(0x80, 0x10FFFF).map(chr), st.sampled_from(["a", "Z", "7", "_"]))
def test_no_character_outside_ascii_becomes_a_letter_or_delimiter_of_it(character: str, name: str) -> None:
    if unicodedata.category(character) == "Cs":
        return
    text = name + character + name
    if isinstance(canonical("/" + quote(text)), Malformed):
        return
    for form in ("NFC", "NFKC"):
        seen = unicodedata.normalize(form, text)
        assert seen.startswith(name)
        assert not re.search(r"[0-9A-Za-z._~/\\;*#?%-]", seen.removeprefix(name).removesuffix(name))


@given(st.binary())
def test_any_bytes_give_a_path_or_a_reason(path: bytes) -> None:
    assert isinstance(canonical(path), str)


def test_a_path_has_a_limited_length() -> None:
    assert canonical("/" + "a" * (MAX_PATH - 1)) == "/" + "a" * (MAX_PATH - 1)
    assert canonical("/" + "a" * MAX_PATH) is Malformed.PATH_TOO_LONG
    assert canonical("/" + "[" * (MAX_PATH // 3)) == "/" + "%5B" * (MAX_PATH // 3)
    assert canonical("/" + "[" * (MAX_PATH // 2)) is Malformed.PATH_TOO_LONG, "it is longer when it is written out"


def test_a_query_holds_only_what_may_stand_in_one() -> None:
    assert query_refusal("a=b&c=%20;d=/../&e=[1]?x") is None
    for query in ("a b", "a#b", "a\tb", "a\x00", "caf\xe9", "a\x7f"):
        assert query_refusal(query) is Malformed.QUERY_CHARACTER
