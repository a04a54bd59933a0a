"""The target is told from where the bytes go; the most specific host wins."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headgate.errors import InvalidRules
from headgate.policy.rules import TargetsFile, compile_targets
from headgate.policy.targets import UNKNOWN, Targets


def targets(hosts: dict[str, list[str]], **settings: Any) -> Targets:
    listed = [{"name": name, "hosts": names} for name, names in hosts.items()]
    return compile_targets(TargetsFile.model_validate({"targets": listed, **settings}))


def resolved(known: Targets, host: str, port: int = 443) -> str | None:
    target = known.resolve("https", host, port)
    return target.name if target else None


NESTED = targets(
    {
        "port": ["a.b.internal:8443"],
        "host": ["a.b.internal"],
        "long": ["*.b.internal"],
        "short-port": ["*.internal:8443"],
        "short": ["*.internal", "10.1.2.3", "[2001:db8::1]:8443"],
    }
)


@pytest.mark.parametrize(
    ("host", "port", "name"),
    [
        ("a.b.internal", 8443, "port"),
        ("a.b.internal", 443, "host"),
        ("A.B.Internal.", 443, "host"),
        ("c.b.internal", 8443, "long"),
        ("x.a.b.internal", 443, "long"),
        ("b.internal", 443, "short"),
        ("c.internal", 8443, "short-port"),
        ("c.internal", 443, "short"),
        ("internal", 443, None),
        ("10.1.2.3", 443, "short"),
        ("::ffff:10.1.2.3", 443, "short"),
        ("2001:db8:0:0::1", 8443, "short"),
        ("2001:db8::1", 443, None),
        ("10.1.515", 443, None),
        ("0xa010203", 443, None),
        ("other", 443, None),
        ("", 443, None),
    ],
)
def test_the_most_specific_host_wins(host: str, port: int, name: str | None) -> None:
    assert resolved(NESTED, host, port) == name


def test_only_http_leads_anywhere() -> None:
    assert NESTED.resolve("http", "a.b.internal", 443) is not None
    assert NESTED.resolve("dns", "a.b.internal", 443) is None


def test_an_unknown_host_is_a_target_where_that_is_allowed() -> None:
    known = targets({}, unknown="allow")
    assert known.resolve("https", "anything.example", 443) is UNKNOWN
    assert known.resolve("https", "127.1", 443) is None


def test_names_are_those_of_a_target_and_of_none_that_is_more_specific() -> None:
    known = targets({"wide": ["*.internal", "10.1.2.3:8443"], "narrow": ["pay.internal:8443"]})
    wide, narrow = known.resolve("https", "x.internal", 443), known.resolve("https", "pay.internal", 8443)
    assert wide is not None
    assert narrow is not None
    assert known.names(wide, "Y.internal.")
    assert known.names(wide, "10.1.2.3")
    assert known.names(narrow, "pay.internal")
    assert not known.names(wide, "pay.internal")
    assert not known.names(narrow, "x.internal")
    assert not known.names(wide, "elsewhere.example")
    assert not known.names(wide, "127.1")


@pytest.mark.parametrize(
    ("hosts", "where"),
    [
        ({"a": ["x.internal"], "b": ["X.internal."]}, ("targets", 1, "hosts", 0)),
        ({"a": ["*.internal:80"], "b": ["y", "*.INTERNAL:80"]}, ("targets", 1, "hosts", 1)),
        ({"a": ["[::1]"], "b": ["[0:0::1]"]}, None),
    ],
)
def test_a_host_of_two_targets_is_an_error(hosts: Any, where: Any) -> None:
    """Also in two spellings; an address in a spelling of its own is an error by itself."""
    with pytest.raises(InvalidRules if where else ValidationError) as caught:
        targets(hosts)
    if isinstance(caught.value, InvalidRules):
        assert caught.value.problems[0][0] == where
        assert "is also a host of target `a`" in caught.value.problems[0][1]


@pytest.mark.parametrize("name", ["a", "unknown"])
def test_a_target_has_a_name_of_its_own(name: str) -> None:
    with pytest.raises(InvalidRules, match="accepted: a name of its own"):
        compile_targets(TargetsFile(targets=[{"name": "a", "hosts": ["x"]}, {"name": name, "hosts": ["y"]}]))


@pytest.mark.parametrize(
    "host",
    [
        "x:0",
        "x:65536",
        "x:080",
        "x:",
        "::1",
        "[::1",
        "http://x",
        "x/y",
        "user@x",
        "*",
        "*.*.x",
        "a.*",
        "127.1",
        "x y",
        "",
    ],
)
def test_a_host_that_is_none_is_an_error(host: str) -> None:
    with pytest.raises(ValidationError):
        targets({"a": [host]})


LABELS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(".".join)
ENTRIES = st.tuples(st.sampled_from(["", "*."]), LABELS, st.sampled_from(["", ":80", ":443"])).map("".join)


@settings(deadline=None)
@given(
    st.lists(ENTRIES, unique=True, max_size=8), LABELS, st.sampled_from([80, 443]), st.randoms(use_true_random=False)
)
def test_resolution_agrees_with_its_definition_in_any_order(entries: Any, host: str, port: int, chance: Any) -> None:
    chance.shuffle(entries)
    known = targets({f"t{at}": [entry] for at, entry in enumerate(entries)})
    ranked = [(rank, f"t{at}") for at, entry in enumerate(entries) if (rank := _rank(entry, host, port))]
    assert resolved(known, host, port) == (max(ranked)[1] if ranked else None)


def _rank(entry: str, host: str, port: int) -> tuple[int, int, bool] | None:
    """How specific an entry is for a host: exact before suffix, longer before shorter, with a port before without."""
    name, _, number = entry.partition(":")
    if number not in ("", str(port)):
        return None
    if name.startswith("*."):
        return (0, len(name), bool(number)) if host.endswith(name[1:]) else None
    return (1, 0, bool(number)) if host == name else None


@settings(deadline=None)
@given(st.text(alphabet="aA.:[]0x*%", max_size=10), st.sampled_from([80, 8443]))
def test_any_spelling_of_a_host_resolves_alike(host: str, port: int) -> None:
    plain = NESTED.resolve("https", host, port)
    assert NESTED.resolve("https", host.upper(), port) == plain == NESTED.resolve("https", host.lower(), port)
