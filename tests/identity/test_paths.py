"""One spelling for each path, or none."""

import re
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st

from headgate.identity.paths import MAX_PATH, canonical, query_refusal
from headgate.identity.reasons import Malformed

PIECES = st.sampled_from(
    ["/", "//", ".", "..", "%2e", "%2E", "%2f", "%5c", "%25", "%41", "a", "é", ";", "*", "#", "%C3%A9"]
)
PATHS = st.one_of(st.text(), st.lists(PIECES).map(lambda parts: "/" + "".join(parts)))


def test_the_table(path_case: Any) -> None:
    expected = path_case.get("canonical") or Malformed(path_case["refused"])
    assert canonical(path_case["path"]) == expected
    assert canonical(path_case["path"].encode("latin-1")) == expected


@given(PATHS)
def test_a_canonical_path_is_its_own_canonical_form(path: str) -> None:
    once = canonical(path)
    assert isinstance(once, Malformed) or canonical(once) == once


@given(PATHS)
def test_a_canonical_path_decodes_to_what_the_received_one_does(path: str) -> None:
    once = canonical(path)
    if not isinstance(once, Malformed):
        assert unquote_to_bytes(once) == unquote_to_bytes(path)


@given(PATHS)
def test_no_canonical_path_holds_what_parsers_disagree_on(path: str) -> None:
    once = canonical(path)
    if isinstance(once, Malformed):
        return
    decoded = unquote_to_bytes(once).decode()
    assert not re.search(r"[\\;*#?\x00-\x1f\x7f]|//|/\.{1,2}(/|$)|%[0-9A-Fa-f]{2}", decoded)
    assert decoded.count("/") == once.count("/")


@given(
    st.text(
        st.characters(blacklist_characters="/\\;*#?%", min_codepoint=32, blacklist_categories=["Cc", "Cs"]), min_size=1
    )
)
def test_every_spelling_of_a_segment_becomes_the_same_path(segment: str) -> None:
    if segment in (".", ".."):
        return
    spelled_out = "/" + "".join(f"%{byte:02x}" for byte in segment.encode())
    assert canonical(spelled_out) == canonical("/" + quote(segment, safe="!$&'()+,=:@"))


@given(st.binary())
def test_any_bytes_give_a_path_or_a_reason(path: bytes) -> None:
    assert isinstance(canonical(path), str)


def test_a_path_has_a_limited_length() -> None:
    assert canonical("/" + "a" * (MAX_PATH - 1)) == "/" + "a" * (MAX_PATH - 1)
    assert canonical("/" + "a" * MAX_PATH) is Malformed.PATH_TOO_LONG


def test_a_query_holds_only_what_may_stand_in_one() -> None:
    assert query_refusal("a=b&c=%20;d=/../&e=[1]?x") is None
    for query in ("a b", "a#b", "a\tb", "a\x00", "caf\xe9", "a\x7f"):
        assert query_refusal(query) is Malformed.QUERY_CHARACTER
