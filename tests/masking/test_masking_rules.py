"""masking.yaml: what compiles to which plan, and what every mistake is told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from headgate.bundled import Files
from headgate.errors import InvalidRules
from headgate.masking.due import NOTHING, Due, due
from headgate.masking.plan import Operator, Plan, Profile, Wanted
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
            "profile": "stock",
            "min_score": 0.5,
            "as": {"default": "null", "CREDIT_CARD": "last4"},
            "pass_types": ["image/png"],
        }
    )
    assert rules.masks[0].plan == Plan(
        paths=(("$..ssn", Operator.NULL),),
        headers=(("x-account", Operator.NULL),),
        query=(("token", Operator.NULL),),
        detect=(
            Wanted("EMAIL_ADDRESS", Operator.NULL, Profile.STOCK, 0.5),
            Wanted("CREDIT_CARD", Operator.LAST4, Profile.STOCK, 0.5),
        ),
        pass_types=frozenset({"image/png"}),
    )


def test_an_unquoted_null_is_the_operator() -> None:
    plan = _compile({"detect": ["URL"], "as": {"URL": None}}).everything
    assert plan.detect == (Wanted("URL", Operator.NULL),)


def test_no_masks_is_a_rule_set_too() -> None:
    assert _compile().masks == ()
    assert compile_masking(MaskingFile(), Files(Path()), frozenset()).everything == Plan()


def test_a_plan_survives_being_written_down() -> None:
    plan = _compile({"fields": ["$.a", "query:b"], "detect": ["URL"], "pass_types": ["a/b"]}).everything
    assert Plan.from_json(plan.json) == plan


def test_all_problems_are_told_at_once_each_with_its_place() -> None:
    problems = _problems(
        {"id": "same", "fields": ["$.a["], "match": {"not": {"target": ["payments", "nowhere"]}}},
        {"id": "same", "detect": ["NAME"], "as": {"URL": "null"}, "pass_types": ["PNG", "application/json"]},
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
        ({"fields": ["cookie:id"]}, "`cookie:id` is not a field that can be masked; accepted: a JSONPath"),
        ({"fields": ["column:"]}, "`header:NAME`, `query:NAME`, `column:NAME`, `form:NAME`"),
        ({"fields": ["$.a | hex"]}, "`hex` cannot be undone; accepted: `base64`"),
        ({"fields": ["$.a | base64"]}, "the mask hides nothing; accepted: at least one of `fields` and `detect`"),
        ({"fields": ["ssn"]}, "`ssn` is not a field that can be masked"),
        ({"fields": ["header:"]}, "`header:` lacks a name"),
        ({"fields": ["header:X Account"]}, "`header:X Account` lacks a name"),
        ({"fields": ["header:Content-Length"]}, "`header:Content-Length` tells how to read the message"),
        ({"detect": ["PASSWORD"]}, "`PASSWORD` cannot be detected; accepted: "),
        (
            {"detect": ["PERSON"]},
            "no stream can wait for a language model (`PERSON`); accepted: with `streams: ",
        ),
        ({"detect": ["URL"], "min_score": 0.5}, "`min_score` cuts what `profile: stock` finds"),
        (
            {"detect": ["URL"], "as": {"default": "hash"}},
            "`token` and `hash` need a key; accepted: with `token_key: ",
        ),
        ({"detect": ["URL"], "as": {"URL": "token"}}, "`token` and `hash` need a key"),
        ({"detect": ["URL"], "except": {"target": "nowhere"}}, "accepted: `customers`, `payments`"),
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
        {"detect": ["URL"], "profile": "strict"},
        {"detect": ["URL"], "except": {"role": "admin"}},
        {"detect": ["URL"], "as": {"default": "scramble"}},
        {"detect": ["URL"], "streams": "pass"},
        {"detect": ["URL"], "keys": "yes please"},
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
    plan = due(rules, ANA, REQUEST, PAYMENTS, now=NOW).caller
    assert plan is not None
    assert [path for path, _ in plan.paths] == ["$.a"]
    assert plan.entities == ("EMAIL_ADDRESS",)


def test_none_is_due_where_none_holds() -> None:
    rules = _compile({**EMAIL, "match": {"host": "other.internal"}})
    assert due(rules, ANA, REQUEST, PAYMENTS, now=NOW) == NOTHING


def test_a_mask_is_due_where_it_cannot_be_known_whether_it_holds() -> None:
    rules = _compile({**EMAIL, "match": {"not": {"principal": {"owner": "ben"}}}})
    assert due(rules, ANA, REQUEST, PAYMENTS, now=NOW).caller is not None


@pytest.mark.parametrize(("issued_at", "masked"), [(NOW - 900, False), (NOW - 901, True), (None, True)])
def test_a_mask_may_be_due_for_sessions_that_are_old_or_of_unknown_age(issued_at: float | None, masked: bool) -> None:
    rules = _compile({**EMAIL, "match": {"not": {"principal": {"session": {"max_age": "15m"}}}}})
    caller = replace(ANA, session=Session(issued_at=issued_at))
    assert (due(rules, caller, REQUEST, PAYMENTS, now=NOW).caller is not None) is masked


def test_every_mask_is_due_while_caller_target_or_request_are_not_known() -> None:
    rules = _compile({**EMAIL, "match": {"host": "other.internal"}}, {"fields": ["$.a"], "match": {"method": "PUT"}})
    for known in ((None, REQUEST, PAYMENTS), (ANA, None, PAYMENTS), (ANA, REQUEST, None), (None, None, None)):
        assert due(rules, *known, now=NOW).caller == rules.everything


def test_without_masks_nothing_is_ever_due() -> None:
    assert due(_compile(), None, None, None, now=NOW) == NOTHING


OFFICERS = {"except": {"principal": {"groups": ["privacy-officers"]}}}


def test_an_exception_is_for_the_caller_alone() -> None:
    rules = _compile({**EMAIL, **OFFICERS, "request": True}, {"fields": ["$.a"]})
    officer = replace(ANA, groups=frozenset({"privacy-officers"}))
    owed, recorded, sent, varies = due(rules, officer, REQUEST, PAYMENTS, now=NOW)
    assert owed == rules.masks[1].plan
    assert recorded == rules.everything
    assert sent == rules.masks[0].plan
    assert varies
    assert due(rules, ANA, REQUEST, PAYMENTS, now=NOW).caller == rules.everything


def test_nobody_is_excepted_who_is_not_certain_to_be() -> None:
    rules = _compile({**EMAIL, "except": {"not": {"principal": {"owner": "ben"}}}})
    assert due(rules, ANA, REQUEST, PAYMENTS, now=NOW).caller == rules.everything
    assert due(rules, None, REQUEST, PAYMENTS, now=NOW).caller == rules.everything


@pytest.mark.parametrize(
    ("mask", "varies"),
    [
        ({}, False),
        ({"match": {"target": "payments", "path": "/v1/customers/{id}", "method": "GET"}}, False),
        ({"match": {"principal": {"groups": ["support"]}}}, True),
        ({"match": {"principal": {"groups": ["nobody"]}}}, True),
        ({"match": {"principal": {"groups": ["support"]}, "path": "/v2/{rest...}"}}, False),
        ({"match": {"headers": {"X-A": "1"}}}, True),
        ({"match": {"not": {"principal": {"id": "ana"}}}}, True),
        ({"when": "principal.id == 'ana'"}, True),
        (OFFICERS, True),
    ],
)
def test_it_is_known_whether_another_caller_may_get_another_mask(mask: dict[str, Any], varies: bool) -> None:
    assert due(_compile({**EMAIL, **mask}), ANA, REQUEST, PAYMENTS, now=NOW).varies is varies


def test_the_key_of_tokens_goes_along_with_what_is_due() -> None:
    rules = _compile(EMAIL)
    assert due(rules, ANA, REQUEST, PAYMENTS, now=NOW, key=b"k").caller == replace(rules.everything, key=b"k")
    assert "0123" not in repr(Due(Plan(key=b"0123")))


def test_fields_of_every_form_become_what_they_name() -> None:
    fields = ["$.data | base64", "$..ssn", "column:iban", "form:password"]
    (mask,) = _compile({"fields": fields, "keys": True, "streams": "withhold"}).masks
    plan = mask.plan
    assert plan.encoded == ("$.data",)
    assert (plan.columns, plan.form) == ((("iban", Operator.REDACT),), (("password", Operator.REDACT),))
    assert (plan.keys, plan.streams, plan.nested) == (True, False, True)
    assert plan.names == {"ssn": Operator.REDACT}


@pytest.mark.parametrize(
    ("path", "name"),
    [("$..ssn", "ssn"), ("$.ssn", "ssn"), ("$..['full name']", "full name"), ('$["a"]', None), ("$.a.b", None)],
)
def test_a_path_that_is_but_a_name_is_known_as_one(path: str, name: str | None) -> None:
    plan = _compile({"fields": [path]}).everything
    assert (list(plan.names), plan.nested) == (([name], False) if name else ([], True))


def test_what_has_no_members_may_pass_over_paths() -> None:
    plan = _compile({"fields": ["$.a.b"], **EMAIL, "pass_types": ["text/html", "text/plain"]}).everything
    assert plan.pass_types == {"text/html", "text/plain"}


def test_a_type_passes_only_if_every_mask_that_reads_bodies_lets_it() -> None:
    png, both = {"pass_types": ["image/png"]}, {"pass_types": ["image/png", "image/gif"]}
    assert _compile({**EMAIL, **both}, {**EMAIL, **png}).everything.pass_types == {"image/png"}
    assert _compile({**EMAIL, **both}, EMAIL).everything.pass_types == frozenset()
    assert _compile({**EMAIL, **png}, {"fields": ["header:X-A"]}).everything.pass_types == {"image/png"}


def test_filters_lists_and_two_descents_are_not_taken_for_linear() -> None:
    for path, linear in {"$..a": True, "$.a[0].b": True, "$[*].*": True, "$..a..b": False, "$.a[?@.b]": False}.items():
        assert _compile({"fields": [path]}).everything.linear is linear
    assert not _compile({"fields": ["$['a','b']"]}).everything.linear
    assert _compile(EMAIL).everything.linear, "detection has a budget of its own"
