"""`headgate rules explain`: what the rules say of one request by one caller, and why."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli import callers
from headgate.cli.asked import Asked, at_url, in_file, in_har
from headgate.cli.callers import Known, Refused
from headgate.cli.explained import print_explanation
from headgate.cli.options import JSON, RULES, STATE
from headgate.cli.screen import visible

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.capture.entries import Entry
    from headgate.identity.hygiene import Clean
    from headgate.model import PathRules, Principal, Request, Target
    from headgate.replay.recorded import Recorded

WHO = "--principal, --token or --anonymous"
WHAT = "METHOD URL, --request, --curl, --har or --flow"


def _time(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        message = f"`{visible(value)[:80]}` is not a time; accepted: ISO 8601, such as `2026-03-01T09:00:00+01:00`"
        raise click.BadParameter(message, ctx, param) from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


@dataclass(frozen=True, slots=True)
class Moment:
    """Under which circumstances; what is None has not been given."""

    state: Path
    at: float | None
    signals: frozenset[str] | None


@click.command()
@click.argument("words", metavar="[METHOD URL]", nargs=-1)
@click.option("--request", "file", type=click.Path(path_type=Path), help="A file: JSON, YAML, or a raw HTTP request.")
@click.option("--curl", metavar="LINE", help="A curl command line, in quotes.")
@click.option("--har", metavar="FILE[#N]", help="Entry N (default: 0) of a HAR file.")
@click.option("--flow", metavar="ID", help="A captured flow, by its flow id or decision id.")
@click.option(
    "--principal", metavar="FILE|YAML", help="Who calls, such as '{id: ana, kind: human, groups: [support]}'."
)
@click.option("--token", metavar="TOKEN|@FILE|-", help="Who calls, by a token that is verified as live.")
@click.option("--anonymous", is_flag=True, help="Nobody in particular calls.")
@click.option("--at", callback=_time, metavar="TIME", help="When: ISO 8601 (default: now; of a flow, its own time).")
@click.option("--signal", "signals", multiple=True, metavar="NAME", help="A signal that is set; may be repeated.")
@click.option("--source", metavar="ADDRESS", help="The address of the peer.")
@click.option("--scheme", type=click.Choice(["http", "https"]), default="https", help="Of a raw request.")
@RULES
@STATE
@click.option("--all", "everything", is_flag=True, help="Show every rule, also those that do not bear on the answer.")
@JSON
def explain(
    words: tuple[str, ...],
    principal: str | None,
    token: str | None,
    anonymous: bool,
    at: float | None,
    signals: tuple[str, ...],
    rules: Path,
    state: Path,
    everything: bool,
    as_json: bool,
    flow: str | None,
    **asked: Any,
) -> None:
    """Explain what the rules say of one request by one caller: which rule decides, which of its conditions hold or fail
    and why, what came nearest to allowing it, what rules in shadow mode would say, and which masks are due.

    The request is judged as live, from how it is written on. Without a caller given, the request has to prove one
    itself. A token on the command line can be seen by others on this machine while this runs.

    Exit code 0: explained, whatever the answer, 1: the rules cannot be used, 2: wrong usage.

    \b
    headgate rules explain GET https://api.internal/v1/customers/42 --principal '{id: ana, kind: human}'
    headgate rules explain --curl "curl -X DELETE https://api.internal/v1/customers/42" --token @token.txt
    headgate rules explain --flow 01K2J8Z5Q6 --all
    """
    if sum((principal is not None, token is not None, anonymous)) > 1:
        raise click.UsageError(f"more than one caller is given; accepted: one of {WHO}")
    if sum((bool(words), flow is not None, *(asked[name] is not None for name in ("file", "curl", "har")))) != 1:
        raise click.UsageError(f"one request is explained at a time; accepted: one of {WHAT}")
    from headgate.bundle.load import load_bundle

    who = _who(principal, token, anonymous)
    moment = Moment(state, at, frozenset(signals) if signals else None)
    request = None if flow else _request(words, **asked)
    bundle = load_bundle(rules)
    found = _of_request(request, who, moment, bundle) if request else _of_flow(str(flow), who, moment, bundle)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        print_explanation(found, everything=everything)


Who = Callable[["Bundle", "Target | None", Path, float], Known | Refused]


def _who(principal: str | None, token: str | None, anonymous: bool) -> Who | None:
    """How the caller is found once the rules and the time are known; None for what the request says itself."""
    if principal is not None:
        case = callers.written(principal)
        return lambda _bundle, target, _state, now: callers.case_of(case, target, now)
    if token is not None:
        text = callers.token_text(token)
        return lambda bundle, _target, state, now: callers.of_token(text, bundle, state, now)
    return (lambda bundle, _target, _state, _now: callers.anonymous(bundle)) if anonymous else None


def _request(
    words: tuple[str, ...], file: Path | None, curl: str | None, har: str | None, source: str | None, scheme: str
) -> Asked:
    if file is not None:
        asked = in_file(file, scheme)
    elif curl is not None:
        from headgate.cli.curl import in_curl

        asked = in_curl(curl)
    elif har is not None:
        asked = in_har(har)
    elif len(words) <= 2:
        asked = at_url("GET" if len(words) == 1 else words[0], words[-1])
    else:
        raise click.UsageError("too many arguments; accepted: METHOD URL, or a URL alone for GET")
    return asked if source is None else replace(asked, source=source)


def _of_request(asked: Asked, who: Who | None, moment: Moment, bundle: "Bundle") -> dict[str, Any]:
    """What a request comes to that is judged as live."""
    from headgate.identity.hygiene import check
    from headgate.model import STRICT, Refusal

    now = time.time() if moment.at is None else moment.at

    def names(request: "Request", host: str) -> bool:
        target = bundle.targets.resolve(request.scheme, request.host, request.port)
        return target is not None and bundle.targets.names(target, host)

    def path_rules(scheme: str, host: str, port: int) -> "PathRules":
        target = bundle.targets.resolve(scheme, host, port)
        return target.paths if target else STRICT

    clean = check(asked.raw(), names, bundle.identity.taken, path_rules)
    if isinstance(clean, Refusal):
        return _refused(callers.refused(clean.status, clean.slug, clean.reason), bundle, now, asked.notes)
    if reason := _body_refused(clean, asked.body):
        return _refused(callers.refused(400, "malformed-request", reason), bundle, now, asked.notes)
    request = replace(clean.request, body=asked.body)
    target = bundle.targets.resolve(request.scheme, request.host, request.port)
    caller = who(bundle, target, moment.state, now) if who else callers.shown(clean, bundle, moment.state, now)
    if isinstance(caller, Refused):
        return _refused(caller, bundle, now, asked.notes)
    notes = (*asked.notes, *caller.notes)
    return _explained(bundle, caller.principal, request, now, moment.signals or frozenset(), notes)


def _body_refused(clean: "Clean", body: bytes | None) -> str | None:
    """What identity finds wrong with a body once it is there."""
    from headgate.identity.overrides import body_refusal
    from headgate.identity.reasons import Malformed

    if body is None:
        return None
    said = clean.credentials.get(b"content-length")
    if said is not None and int(said) != len(body):
        return Malformed.LENGTH_MISMATCH.value
    return body_refusal(clean.fields, body)


def _of_flow(flow: str, who: Who | None, moment: Moment, bundle: "Bundle") -> dict[str, Any]:
    """What a recorded request comes to by these rules, as far as its record tells."""
    from headgate.capture.store import Store
    from headgate.replay.recorded import recorded

    entry = Store(moment.state).entry(flow)
    found = recorded(entry, bundle)
    now = found.at if moment.at is None else moment.at
    notes = tuple(found.notes())
    if entry.summary.refusal == "malformed-request" or (found.principal is None and who is None):
        return _refused(_as_recorded(entry), bundle, now, ("this is the refusal that was recorded",))
    target = bundle.targets.resolve(found.request.scheme, found.request.host, found.request.port)
    caller = who(bundle, target, moment.state, now) if who else _known(found)
    if isinstance(caller, Refused):
        return _refused(caller, bundle, now, notes)
    return _explained(bundle, caller.principal, found.request, now, moment.signals, (*notes, *caller.notes), found)


def _as_recorded(entry: "Entry") -> Refused:
    """Why a flow never got as far as the rules of policy."""
    summary = entry.summary
    return callers.refused(
        summary.status or 503, summary.refusal or "guard-error", summary.refusal_reason or summary.reason
    )


def _known(found: "Recorded") -> Known:
    if found.principal is None:
        raise click.UsageError(f"the flow does not say who called; accepted: {WHO}")
    return Known(found.principal)


def _explained(
    bundle: "Bundle",
    principal: "Principal",
    request: "Request",
    now: float,
    signals: frozenset[str] | None,
    notes: tuple[str, ...],
    known: "Recorded | None" = None,
) -> dict[str, Any]:
    from headgate.match import Facts, Subject
    from headgate.policy.engine import PolicyRules
    from headgate.policy.explain import as_json, explain
    from headgate.policy.unrecorded import matcher_without, without

    target = bundle.targets.resolve(request.scheme, request.host, request.port)
    policy = without(bundle.policy, known.unrecorded) if known else bundle.policy
    found = explain(PolicyRules(bundle.targets, policy), principal, target, request, now=now, signals=signals)
    facts = Facts(Subject(principal, request, target, now, signals))
    matchers = ((mask.id, mask.matcher) for mask in bundle.masking.masks)
    asked = ((name, matcher_without(matcher, known.unrecorded) if known else matcher) for name, matcher in matchers)
    masks = [name for name, matcher in asked if matcher.test(facts) is not False]
    return {"refusal": None, **as_json(found), "masks": masks, **_about(bundle, notes)}


def _refused(refused: Refused, bundle: "Bundle", now: float, notes: tuple[str, ...]) -> dict[str, Any]:
    """What does not get as far as the rules of policy."""
    refusal = {"status": refused.status, "type": refused.kind, "reason": refused.reason, "meaning": refused.meaning}
    nothing = dict.fromkeys(("principal", "request", "target", "source", "signals", "decision", "nearest"))
    empty: dict[str, Any] = {name: [] for name in ("entry", "rules", "limits", "violations", "masks")}
    return {"refusal": refusal, **nothing, **empty, "now": now, **_about(bundle, notes)}


def _about(bundle: "Bundle", notes: tuple[str, ...]) -> dict[str, Any]:
    ref = {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
    return {"bundle": ref, "notes": list(notes)}
