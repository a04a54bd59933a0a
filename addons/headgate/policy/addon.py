"""Refuse every request that the active bundle does not allow."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import monotonic

from mitmproxy import http

from headgate.errors import HeadgateError
from headgate.match import Facts, Subject
from headgate.model import BundleRef, Decision, Effect, Exchange, Refusal, Request, guard_error
from headgate.policy.buckets import LimitStore, MemoryLimits, Outcome
from headgate.policy.engine import NO_RULE_ALLOWS, TUNNEL_MAY_OPEN, PolicyRules, conclude, settle
from headgate.policy.judgement import Judgement, counting, described, entered, limited, refusal_of
from headgate.policy.limits import Due
from headgate.policy.nearest import Later
from headgate.policy.shaping import shaped_fields, shaped_query

Clock = Callable[[], float]
"""Seconds since the epoch."""

Signals = Callable[[], frozenset[str] | None]
"""Those that are set; None when that is not known."""

Take = Callable[[Sequence[Due], float], Outcome]


class Policy:
    """Judges what identity has found out; `rules` gives those in force when the request came."""

    def __init__(
        self,
        exchanges: Mapping[str, Exchange],
        rules: Callable[[Exchange], PolicyRules],
        clock: Clock,
        signals: Signals = frozenset,
        limits: LimitStore | None = None,
        ticks: Clock = monotonic,
    ) -> None:
        """`ticks` is the clock of the limits, in seconds from anywhere; it must not leap."""
        self._exchanges, self._rules, self._clock, self._signals = exchanges, rules, clock, signals
        self._limits, self._ticks = limits or MemoryLimits(), ticks

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Decide at once, unless a rule that bears on the request reads its body."""
        exchange = self._exchanges[flow.id]
        if not self._enter(exchange):
            return
        if exchange.decision is None:
            facts = self._facts(exchange)
            exchange.decision = settle(self._rules(exchange).policy, facts)
            exchange.awaits_body = exchange.decision is None
            self._explain_later(exchange, facts)
            if exchange.decision and exchange.decision.lets_pass and _announces_body(facts.request):
                self._limit(exchange, self._limits.peek)  # rather than read it first
        if exchange.decision:
            exchange.refusal = exchange.refusal or refusal_of(exchange.decision)

    def request(self, flow: http.HTTPFlow) -> None:
        """Decide what was left open, now that the body is there, and make the request what the rules say."""
        exchange = self._exchanges[flow.id]
        if exchange.decision is None and not exchange.awaits_body:
            exchange.refusal = guard_error("not-judged")  # at its headers it was not even looked at
            return
        facts = None
        if exchange.decision is None:
            facts = self._facts(exchange)
            exchange.decision = conclude(self._rules(exchange).policy, facts)
            self._explain_later(exchange, facts)
            exchange.refusal = refusal_of(exchange.decision)
        if exchange.refusal is None:
            self._validate(exchange)
        if exchange.refusal is None:
            self._limit(exchange, self._limits.spend, facts)
        if exchange.refusal is None:
            _shape(flow.request, exchange.decision, self._rules(exchange).policy.owned_headers)
            exchange.passed = True

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """A tunnel only has to lead to a target the caller may reach; each request inside is decided on its own."""
        exchange = self._exchanges[flow.id]
        if not self._enter(exchange, scheme="https"):
            return
        exchange.decision = exchange.decision or Decision(Effect.ALLOW, TUNNEL_MAY_OPEN)
        exchange.refusal = refusal_of(exchange.decision)

    def _validate(self, exchange: Exchange) -> None:
        """Refuse a request that does not fit the description of its target; where that is not enforced, only say so."""
        if exchange.request is None or exchange.decision is None:
            return
        targets = self._rules(exchange).targets
        self._take(exchange, described(targets, exchange.target, exchange.request, exchange.decision))

    def _limit(self, exchange: Exchange, take: Take, facts: Facts | None = None) -> None:
        """Refuse a request of which there have been too many; one to an observed target is only said to be one."""
        policy, decision = self._rules(exchange).policy, exchange.decision
        if not policy.limits or decision is None:
            return
        if dues := counting(policy, facts or self._facts(exchange)):
            now = self._ticks()
            self._take(exchange, limited(decision, take(dues, now), now))

    def _take(self, exchange: Exchange, said: Judgement) -> None:
        exchange.decision = said.decision
        exchange.refusal = exchange.refusal or said.refusal

    def again(self, exchange: Exchange, bundle: BundleRef) -> Refusal | None:
        """Why a request that has long been let pass may not go on by the rules in `bundle`; None when it may.

        `exchange` is made for this; no limit is spent anew."""
        exchange.bundle, exchange.decision = bundle, None
        if not self._enter(exchange):
            return exchange.refusal
        return refusal_of(exchange.decision or conclude(self._rules(exchange).policy, self._facts(exchange)))

    def _enter(self, exchange: Exchange, scheme: str | None = None) -> bool:
        """Find where the request goes; the decision is made if the caller may not go there at all. False without what
        identity should have left."""
        principal, request = exchange.principal, exchange.request
        if principal is None or request is None:
            exchange.refusal = guard_error("policy-without-identity")
            return False
        targets = self._rules(exchange).targets
        exchange.target = target = targets.resolve(scheme or request.scheme, request.host, request.port)
        exchange.signals = self._signals()
        exchange.decision = exchange.decision or entered(targets, principal, target)
        return True

    def _facts(self, exchange: Exchange) -> Facts:
        if exchange.request is None:
            raise HeadgateError("a request is decided on that identity has not passed")
        now = self._clock()
        return Facts(Subject(exchange.principal, exchange.request, exchange.target, now, exchange.signals))

    def _explain_later(self, exchange: Exchange, facts: Facts) -> None:
        """Leave what is needed to say which rule came nearest to allowing the request, for whoever records it."""
        if exchange.decision and exchange.decision.reason == NO_RULE_ALLOWS:
            subject = Subject(facts.principal, facts.request, facts.target, facts.now, facts.signals)
            exchange.nearest = Later(self._rules(exchange).policy, subject)


def _announces_body(request: Request) -> bool:
    return bool(request.values("transfer-encoding") or request.values("content-length") not in ([], ["0"]))


def _shape(request: http.Request, decision: Decision, owned: frozenset[str]) -> None:
    """Change the request that goes on; where policy is not enforced, it changes nothing either.

    A header that any rule sets is never the caller's own, whether or not that rule applies to this request."""
    shaping = decision.shaping
    if decision.observed or not (shaping or owned):
        return
    removed = (shaping.remove_headers | owned) - {name for name, _ in shaping.set_headers}
    shaping = replace(shaping, remove_headers=removed)
    request.headers = http.Headers(shaped_fields(request.headers.fields, shaping))
    path, mark, query = request.path.partition("?")
    if shaping.remove_query and mark:
        kept = shaped_query(query, shaping.remove_query)
        request.data.path = (f"{path}?{kept}" if kept else path).encode()
