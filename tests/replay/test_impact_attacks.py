"""Ways in which proposed rules could let more pass, or mask less, and a masked record would hide it.

The exchanges are recorded as a live chain under `old` would have done it; `told` is what impact says of the change from
`old` to `new`. What a record cannot tell has to be unknown, and may loosen: it is never silence.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.replay.under_rules import FILES, KEY, Asked, capture, detector, make_bundle, written

from headgate.bundle.load import Bundle
from headgate.capture.entries import Entry
from headgate.capture.record import Record
from headgate.masking.plan import Operator, Plan, Wanted
from headgate.model import Decision, Effect, Refusal, unauthenticated
from headgate.policy.unrecorded import matcher_without
from headgate.replay.comparison import Change, Kind, compare
from headgate.replay.impact import Task, measure, source_of
from headgate.replay.judge import decide_and_mask
from headgate.replay.judging import Judge
from headgate.replay.keeping import covers
from headgate.replay.report import Report, as_json, summary

ALLOW = {"id": "all", "effect": "allow", "match": {}}
MAILS = [{"id": "m", "match": {}, "detect": ["EMAIL_ADDRESS"]}]
FORM = ("content-type", "application/x-www-form-urlencoded")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_TEST_KEY", KEY.decode())


@dataclass
class Bench:
    folder: Path

    def bundle(self, name: str, **rules: Any) -> Bundle:
        return make_bundle(self.folder / name, **rules)

    def changes(self, old: Bundle, new: Bundle, entry: Entry, *, known: bool = True) -> list[Change]:
        origin = old if known else None
        before, after = (decide_and_mask(one, entry, recorded_under=origin, detector=detector) for one in (old, new))
        return compare(before, after)

    def told(self, asked: Asked, old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
        before = self.bundle("old", **old)
        (entry,) = capture(self.folder / "state", before, [asked])
        return self.changes(before, self.bundle("new", **new), entry)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def warns(changes: list[Change]) -> bool:
    """Whether somebody who looks for what was loosened would see it."""
    return any(change.loosens and change.kind is not Kind.RULE_CHANGED for change in changes)


def policy(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"policy": list(rules)}


def deny(**match: Any) -> dict[str, Any]:
    return {"id": "never", "effect": "deny", "match": match}


# -- what a record does not show of a request --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    ("headers", "body", "masks"),
    [
        ((("content-type", "application/json"), ("content-encoding", "weird")), b'{"force": 1}', []),
        ((FORM,), b"force=1&y=" + b"z" * 70_000, []),
        ((("content-type", "application/json"),), b'{"force": 1, "y": "' + b"z" * 70_000 + b'"}', MAILS),
    ],
    ids=["in a coding nobody reads", "a form that is too long", "too long to be masked"],
)
def test_a_body_that_was_not_kept_is_not_taken_for_none(
    bench: Bench, method: str, headers: tuple[tuple[str, str], ...], body: bytes, masks: list[Any]
) -> None:
    """Without its body the record is of a request of no size, which the rule that refused it would have let pass."""
    asked = Asked(method, headers=(*headers, ("content-length", str(len(body)))), body=body)
    never = {"id": "never", "effect": "deny", "match": {}, "when": "request.size > 5"}
    changes = bench.told(asked, {**policy(ALLOW, never), "masking": masks}, {**policy(ALLOW), "masking": masks})
    assert warns(changes), changes


def test_a_request_without_a_body_that_says_so_in_no_header_is_known(bench: Bench) -> None:
    rules = policy(ALLOW, deny(body={"$.force": {"present": True}}))
    assert bench.told(Asked("DELETE"), rules, policy(ALLOW)) == []


def test_graphql_in_a_masked_query_is_not_known(bench: Bench) -> None:
    asked = Asked(path="/graphql", query='query=mutation{refund(to:"ana@example.com")}')
    guarded = policy(ALLOW, deny(graphql={"operation": "mutation"}))
    assert warns(bench.told(asked, {**guarded, "masking": MAILS}, {**policy(ALLOW), "masking": MAILS}))


def test_the_length_of_a_body_that_was_masked_is_not_known(bench: Bench) -> None:
    body = b'{"to": "ana@example.com"}'
    asked = Asked("POST", headers=(("content-type", "application/json"), ("content-length", str(len(body)))), body=body)
    guarded = policy(ALLOW, deny(headers={"content-length": str(len(body))}))
    assert warns(bench.told(asked, {**guarded, "masking": MAILS}, {**policy(ALLOW), "masking": MAILS}))


@pytest.mark.parametrize("value", ["b", "1.2.3.4"])
def test_a_short_value_of_which_stars_are_left_counts_as_masked(bench: Bench, value: str) -> None:
    masks = [{"id": "m", "match": {}, "fields": ["query:to"], "as": {"default": "last4"}}]
    guarded = policy(ALLOW, deny(query={"to": value}))
    changes = bench.told(Asked(query=f"to={value}"), {**guarded, "masking": masks}, {**policy(ALLOW), "masking": masks})
    assert warns(changes)


def test_the_mark_of_an_entity_of_ones_own_is_a_mark_whatever_its_name(bench: Bench) -> None:
    """Also in the percent-encoding of a form, and in a text of two bytes a character."""
    old = bench.bundle("old", **policy(ALLOW, deny(body={"$.to": "A-1"})))
    new = bench.bundle("new", **policy(ALLOW))
    for body in (b'{"to": "[ORDER_ID2]"}', b"to=%5BORDER_ID2%5D", '{"to": "[ORDER_ID2]"}'.encode("utf-16-le")):
        asked = Asked("POST", headers=(FORM,) if body.startswith(b"to=") else (), body=body)
        (entry,) = capture(bench.folder / f"state-{len(body)}", old, [asked])
        assert warns(bench.changes(old, new, entry)), body


def test_a_header_that_was_nulled_by_rules_that_nobody_kept_counts_as_masked(bench: Bench) -> None:
    masks = [{"id": "m", "match": {}, "fields": ["header:X-To"], "as": {"default": "null"}}]
    origin = bench.bundle("origin", **policy(ALLOW), masking=masks)
    (entry,) = capture(bench.folder / "state", origin, [Asked(headers=(("x-to", "b"),))])
    old, new = bench.bundle("old", **policy(ALLOW, deny(headers={"x-to": "b"}))), bench.bundle("new", **policy(ALLOW))
    assert warns(bench.changes(old, new, entry, known=False))


def test_a_mask_that_was_due_by_what_it_hid_itself_counts_as_due(bench: Bench) -> None:
    """It hid the header by which it was due, and dropped another that a rule asks for."""
    masks = [
        {"id": "mails", "match": {}, "fields": ["header:X-To"]},
        {
            "id": "more",
            "match": {"headers": {"x-to": "b"}},
            "fields": ["header:X-Risk"],
            "as": {"default": "drop"},
        },
    ]
    asked = Asked(headers=(("x-to", "b"), ("x-risk", "high")))
    guarded = policy(ALLOW, deny(headers={"x-risk": "high"}))
    assert warns(bench.told(asked, {**guarded, "masking": masks}, {**policy(ALLOW), "masking": masks}))


def test_a_limit_that_asks_for_a_body_that_was_lost_still_refuses(bench: Bench) -> None:
    limits = [{"id": "few", "match": {"body": {"$.to": {"present": True}}}, "rate": "2/hour"}]
    body = b'{"to": "ana@example.com"}'
    asked = Asked("POST", headers=(("content-type", "application/json"),), body=body, exhausted=frozenset({"few"}))
    limited = {"policy": {"rules": [ALLOW], "limits": limits}, "masking": MAILS}
    changes = bench.told(asked, limited, {**policy(ALLOW), "masking": MAILS})
    assert warns(changes), changes


# -- paths, callers, and what never came to policy ---------------------------------------------------------------------


def target(**paths: Any) -> dict[str, Any]:
    return {"targets": [{"name": "api", "hosts": ["api.internal"], "environment": "prod", "paths": paths}]}


def test_a_path_that_is_folded_from_now_on_is_asked_as_it_will_be_sent(bench: Bench) -> None:
    rules = policy({"id": "a", "effect": "allow", "match": {"path": "/admin"}})
    changes = bench.told(Asked(path="/Admin"), {**rules, **target()}, {**rules, **target(case="insensitive")})
    assert [change.kind for change in changes] == [Kind.LOOSENED]


def test_how_a_folded_path_was_written_is_not_known(bench: Bench) -> None:
    rules = policy(ALLOW, deny(path="/admin"))
    changes = bench.told(Asked(path="/admin"), {**rules, **target(case="insensitive")}, {**rules, **target()})
    assert warns(changes), "it may have been `/Admin`, which nothing denies any more"


def test_a_path_that_is_not_read_any_more_is_refused(bench: Bench) -> None:
    changes = bench.told(
        Asked(path="/a%2Fb"), {**policy(ALLOW), **target(encoded_slash="keep")}, {**policy(ALLOW), **target()}
    )
    assert [change.kind for change in changes] == [Kind.TIGHTENED]


@pytest.mark.parametrize(
    ("refusal", "changed"),
    [
        (unauthenticated("missing"), {"identity": {**FILES["identity"], "anonymous": "allow"}}),
        (Refusal(400, "malformed-request", "malformed", "path-empty-segment"), target(merge_slashes=True)),
    ],
    ids=["anonymous callers", "slashes that are merged"],
)
def test_who_never_came_to_policy_and_would_now_is_not_passed_over(
    bench: Bench, refusal: Refusal, changed: dict[str, Any]
) -> None:
    changes = bench.told(Asked(who=None, refusal=refusal), policy(ALLOW), {**policy(ALLOW), **changed})
    assert [(change.kind, change.loosens) for change in changes] == [(Kind.UNKNOWN, True)]


def test_who_never_came_to_policy_stays_so_where_nothing_bears_on_it(bench: Bench) -> None:
    changes = bench.told(Asked(who=None, refusal=unauthenticated("missing")), policy(ALLOW), policy(deny()))
    assert [change.kind for change in changes] == [Kind.NOT_JUDGED]


def stored(bench: Bench, reason: str, **more: Any) -> Entry:
    record: Record = Asked().record(bench.bundle("origin"))
    (entry,) = written(bench.folder / "state", [replace(record, decision=Decision(Effect.DENY, reason), **more)])
    return entry


def test_a_reason_that_this_version_does_not_know_is_not_taken_for_a_refusal_before_policy(bench: Bench) -> None:
    entry = stored(bench, "by-the-moon")
    changes = bench.changes(bench.bundle("old", **policy(ALLOW)), bench.bundle("new", **policy(deny())), entry)
    assert [change.kind for change in changes] == [Kind.UNKNOWN]


def test_what_was_imported_is_said_to_have_never_been_decided(bench: Bench) -> None:
    entry = stored(bench, "imported", principal=None, bundle=None, refusal=None)
    changes = bench.changes(bench.bundle("old", **policy(deny())), bench.bundle("new", **policy(ALLOW)), entry)
    assert [(change.kind, change.what) for change in changes] == [(Kind.NOT_JUDGED, "imported: never decided")]


def test_another_identity_is_told_for_every_flow(bench: Bench) -> None:
    """Callers are those of the record: other groups or claims for the same token change nothing here."""
    old = bench.bundle("old")
    provider = {**FILES["identity"]["providers"][0], "audiences": ["headgate-dev", "headgate-other"]}
    new = bench.bundle("new", identity={"providers": [provider]})
    capture(bench.folder / "state", old, [Asked(), Asked("POST")])
    before, after = source_of(old, bench.folder / "old"), source_of(new, bench.folder / "new")
    report = Report(measure(Task(bench.folder / "state", "capture.db", after, before)), new, old)
    assert "IDENTITY DIFFERS for 2" in summary(report)
    assert as_json(report)["identity_differs"] == 2
    same = Report(measure(Task(bench.folder / "state", "capture.db", before, before)), old, old)
    assert "IDENTITY" not in summary(same)


# -- masks -------------------------------------------------------------------------------------------------------------

PEOPLE = b'{"items": [{"k": "a", "mail": "ana@example.com"}, {"k": "b", "mail": "bob@example.com"}]}'


@pytest.mark.parametrize("path", ["$.items[0].mail", "$.items[?@.k=='a'].mail"])
@pytest.mark.parametrize(
    "before", [{"fields": ["$.items[*].mail"]}, {"detect": ["EMAIL_ADDRESS"]}], ids=["fields", "detection"]
)
@pytest.mark.parametrize("answer", [PEOPLE, PEOPLE.replace(b"ana@example.com", b"none")], ids=["both", "the second"])
def test_a_path_that_leads_to_some_of_the_values_does_not_keep_all(
    bench: Bench, path: str, before: dict[str, Any], answer: bytes
) -> None:
    old, new = ({"masking": [{"id": "m", "match": {}, **mask}]} for mask in (before, {"fields": [path]}))
    assert warns(bench.told(Asked(answer=answer), old, new))


def test_a_stronger_operator_for_fewer_findings_does_not_hide_a_weaker_one_for_the_others(bench: Bench) -> None:
    """What only the plausible profile lets count is shown in part, though another mask would drop what it finds."""
    last4 = {"id": "m", "match": {}, "detect": ["CREDIT_CARD"], "as": {"default": "last4"}}
    rare = {
        "id": "n",
        "match": {},
        "detect": ["CREDIT_CARD"],
        "as": {"default": "drop"},
        "profile": "stock",
        "min_score": 1.0,
    }
    old = {"masking": [{"id": "m", "match": {}, "detect": ["CREDIT_CARD"]}]}
    asked = Asked(answer=b'{"card": "4111 1111 1111 1111"}')
    assert warns(bench.told(asked, old, {"masking": [last4, rare]}))


def test_a_mask_of_which_nobody_knows_whether_it_is_due_keeps_nothing(bench: Bench) -> None:
    """In the old rules it did not matter, since another hid the same."""
    perhaps = {"id": "perhaps", "match": {"principal": {"claims": {"level": "gold"}}}, "fields": ["$..mail"]}
    always = {"id": "always", "match": {}, "fields": ["$..mail"]}
    changes = bench.told(Asked(answer=PEOPLE), {"masking": [perhaps, always]}, {"masking": [perhaps]})
    assert warns(changes), changes


@pytest.mark.parametrize("more", [{"pass_types": frozenset({"image/png"})}, {"recognizers": "x"}])
def test_a_plan_that_lets_other_types_pass_does_not_cover_the_old_one(more: dict[str, Any]) -> None:
    wanted = (Wanted("EMAIL_ADDRESS", Operator.REDACT),)
    assert not covers(Plan(detect=wanted, **more), Plan(detect=wanted))
    assert covers(Plan(detect=wanted), Plan(detect=wanted))


# -- work --------------------------------------------------------------------------------------------------------------


def test_rules_that_ask_for_what_is_lost_are_still_told_apart_by_what_is_not(bench: Bench) -> None:
    """Else every rule with a body is asked of every record that has lost its own."""
    rules = [deny(path=f"/v1/area{n}/{{id}}", body={"$.n": n}) | {"id": f"r{n}"} for n in range(200)]
    old = bench.bundle("old", policy=[ALLOW, *rules], masking=MAILS)
    (entry,) = capture(bench.folder / "state", old, [Asked("POST", "/v1/area7/1", body=b'{"to": "ana@example.com"}')])
    judge = Judge(old)
    assert judge(entry, recorded_under=old).unknown[0] == "whether rule `r7` applies is not known"
    matchers = [rule.matcher for rule in old.policy.rules]
    lost: Callable[[Any], bool] = lambda place: place[:1] == ("body",)  # noqa: E731 - typed
    assert all(matcher_without(matcher, lost).fixed == matcher.fixed for matcher in matchers)
    paths: Callable[[Any], bool] = lambda place: place[:1] == ("path",)  # noqa: E731 - typed
    assert not any(matcher_without(matcher, paths).fixed for matcher in matchers[1:])
