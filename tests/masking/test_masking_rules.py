"""masking.yaml: what compiles to which plan, and what every mistake is told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from headgate.bundled import Files
from headgate.errors import InvalidRules
from headgate.masking.due import due
from headgate.masking.plan import Operator, Plan, Wanted
from headgate.masking.rules import MaskingFile, MaskingRules, compile_masking
from headgate.model import Kind, Principal, Request, Session, Target

TARGETS = frozenset({"customers", "payments"})
ANA = Principal("ana", Kind.HUMAN, "corp", groups=frozenset({"support"}))
REQUEST = Request("GET", "https", "payments.internal", 443, "/v1/customers/1")
PAYMENTS = Target("payments", "prod", tags=frozenset({"pci"}))


def _compile(*masks: dict[str, Any]) -> MaskingRules:
    full = [{"id": f"m{at}", "match": {}, **mask} for at, mask in enumerate(masks)]
    return compile_masking(MaskingFile.model_validate({"masks": full}), Files(Path("rules")), TARGETS)


def _problems(*masks: dict[str, Any]) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(InvalidRules) as invalid:
        _compile(*masks)
    return invalid.value.problems


def test_a_mask_becomes_a_plan() -> None:
    rules = _compile(
        {
            "fields": ["$..ssn", "header:X-Account", "query:token"],
            "detect": ["EMAIL_ADDRESS", "CREDIT_CARD"],
            "min_score": 0.5,
            "as": {"default": "null", "CREDIT_CARD": "last4"},
            "pass_types": ["image/png"],
        }
    )
    assert rules.masks[0].plan == Plan(
        paths=(("$..ssn", Operator.NULL),),
        headers=(("x-account", Operator.NULL),),
        query=(("token", Operator.NULL),),
        detect=(Wanted("EMAIL_ADDRESS", 0.5, Operator.NULL), Wanted("CREDIT_CARD", 0.5, Operator.LAST4)),
        pass_types=frozenset({"image/png"}),
    )


def test_an_unquoted_null_is_the_operator() -> None:
    plan = _compile({"detect": ["URL"], "as": {"URL": None}}).everything
    assert plan.detect == (Wanted("URL", 0.4, Operator.NULL),)


def test_no_masks_is_a_rule_set_too() -> None:
    assert _compile().masks == ()
    assert compile_masking(MaskingFile(), Files(Path()), frozenset()).everything == Plan()


def test_a_plan_survives_being_written_down() -> None:
    plan = _compile({"fields": ["$.a", "query:b"], "detect": ["URL"], "pass_types": ["a/b"]}).everything
    assert Plan.from_json(plan.json) == plan


def test_all_problems_are_told_at_once_each_with_its_place() -> None:
    problems = _problems(
        {"id": "same", "fields": ["$.a["], "match": {"not": {"target": ["payments", "nowhere"]}}},
        {"id": "same", "detect": ["PERSON"], "as": {"URL": "null"}, "pass_types": ["PNG", "text/plain"]},
    )
    assert [where for where, _ in problems] == [
        ("masks", 0, "match", "not", "target", 1),
        ("masks", 0, "fields", 0),
        ("masks", 1, "detect", 0),
        ("masks", 1, "as", "URL"),
        ("masks", 1, "pass_types", 0),
        ("masks", 1, "pass_types", 1),
        ("masks", 1, "id"),
    ]


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        ({"fields": ["$.a["]}, "`$.a[` is not a JSONPath; accepted: RFC 9535"),
        ({"fields": ["form:password"]}, "`form:password` is not a field that can be masked; accepted: a JSONPath"),
        ({"fields": ["column:iban"]}, "`header:NAME`, `query:NAME`"),
        ({"fields": ["ssn"]}, "`ssn` is not a field that can be masked"),
        ({"fields": ["header:"]}, "`header:` lacks a name"),
        ({"fields": ["header:X Account"]}, "`header:X Account` lacks a name"),
        ({"fields": ["header:Content-Length"]}, "`header:Content-Length` tells how to read the message"),
        ({"detect": ["SECRET"]}, "`SECRET` cannot be detected; accepted: `CREDIT_CARD`, `CRYPTO`"),
        ({"detect": ["email_address"]}, "`EMAIL_ADDRESS`"),
        ({"detect": ["URL"], "as": {"EMAIL_ADDRESS": "drop"}}, "not detected by this mask; accepted: `URL`, `default`"),
        ({"detect": ["URL"], "pass_types": ["application/json"]}, "`application/json` is read and masked"),
        ({"match": {}}, "the mask hides nothing; accepted: at least one of `fields` and `detect`"),
        ({"detect": ["URL"], "match": {"target": "nowhere"}}, "accepted: `customers`, `payments`"),
    ],
)
def test_a_mistake_is_told_with_what_is_accepted(mask: dict[str, Any], told: str) -> None:
    ((_, message),) = _problems(mask)
    assert told in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "mask",
    [
        {"detect": ["URL"], "profile": "api"},
        {"detect": ["URL"], "except": {}},
        {"detect": ["URL"], "as": {"default": "hash"}},
        {"detect": ["URL"], "as": {"default": "token"}},
        {"detect": ["URL"], "min_score": 1.5},
        {"detect": [""]},
        {"detect": ["URL"], "match": None},
    ],
)
def test_what_this_version_does_not_know_is_an_error(mask: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _compile(mask)


# -- which masks are due -----------------------------------------------------------------------------------------------

EMAIL = {"detect": ["EMAIL_ADDRESS"]}
NOW = 2_000_000.0


def test_a_mask_is_due_where_its_match_holds() -> None:
    rules = _compile(
        {**EMAIL, "match": {"target": {"tags": ["pci"]}}},
        {"fields": ["$.a"], "match": {"principal": {"groups": ["support"]}, "path": "/v1/customers/{id}"}},
        {"fields": ["$.b"], "match": {"method": "write"}},
    )
    plan = due(rules, ANA, REQUEST, PAYMENTS, now=NOW)
    assert plan is not None
    assert [path for path, _ in plan.paths] == ["$.a"]
    assert plan.entities == ("EMAIL_ADDRESS",)


def test_none_is_due_where_none_holds() -> None:
    rules = _compile({**EMAIL, "match": {"host": "other.internal"}})
    assert due(rules, ANA, REQUEST, PAYMENTS, now=NOW) is None


def test_a_mask_is_due_where_it_cannot_be_known_whether_it_holds() -> None:
    rules = _compile({**EMAIL, "match": {"not": {"principal": {"owner": "ben"}}}})
    assert due(rules, ANA, REQUEST, PAYMENTS, now=NOW) is not None


@pytest.mark.parametrize(("issued_at", "masked"), [(NOW - 900, False), (NOW - 901, True), (None, True)])
def test_a_mask_may_be_due_for_sessions_that_are_old_or_of_unknown_age(issued_at: float | None, masked: bool) -> None:
    rules = _compile({**EMAIL, "match": {"not": {"principal": {"session": {"max_age": "15m"}}}}})
    caller = replace(ANA, session=Session(issued_at=issued_at))
    assert (due(rules, caller, REQUEST, PAYMENTS, now=NOW) is not None) is masked


def test_every_mask_is_due_while_caller_target_or_request_are_not_known() -> None:
    rules = _compile({**EMAIL, "match": {"host": "other.internal"}}, {"fields": ["$.a"], "match": {"method": "PUT"}})
    for known in ((None, REQUEST, PAYMENTS), (ANA, None, PAYMENTS), (ANA, REQUEST, None), (None, None, None)):
        assert due(rules, *known, now=NOW) == rules.everything


def test_without_masks_nothing_is_ever_due() -> None:
    assert due(_compile(), None, None, None, now=NOW) is None


def test_a_type_passes_only_if_every_mask_that_reads_bodies_lets_it() -> None:
    png, both = {"pass_types": ["image/png"]}, {"pass_types": ["image/png", "image/gif"]}
    assert _compile({**EMAIL, **both}, {**EMAIL, **png}).everything.pass_types == {"image/png"}
    assert _compile({**EMAIL, **both}, EMAIL).everything.pass_types == frozenset()
    assert _compile({**EMAIL, **png}, {"fields": ["header:X-A"]}).everything.pass_types == {"image/png"}


def test_filters_lists_and_two_descents_are_not_taken_for_linear() -> None:
    for path, linear in {"$..a": True, "$.a[0].b": True, "$[*].*": True, "$..a..b": False, "$.a[?@.b]": False}.items():
        assert _compile({"fields": [path]}).everything.linear is linear
    assert not _compile({"fields": ["$['a','b']"]}).everything.linear
    assert not _compile(EMAIL).everything.linear
