"""Refuse every request that the active bundle does not allow."""

from collections.abc import Callable, Mapping

from mitmproxy import http

from headgate.errors import HeadgateError
from headgate.match import Facts, Subject
from headgate.model import (
    Decision,
    Effect,
    Exchange,
    Refusal,
    approval_required,
    denied,
    guard_error,
)
from headgate.policy.engine import TUNNEL_MAY_OPEN, PolicyRules, conclude, entry_refused, settle
from headgate.policy.shaping import shaped_fields, shaped_query

Clock = Callable[[], float]
"""Seconds since the epoch."""

Signals = Callable[[], frozenset[str] | None]
"""Those that are set; None when that is not known."""

APPROVALS_UNAVAILABLE = "approvals-unavailable"
"""A rule asks for a person's approval, and there is nobody to ask yet."""


class Policy:
    """Judges what identity has found out; `rules` gives those in force when the request came."""

    def __init__(
        self,
        exchanges: Mapping[str, Exchange],
        rules: Callable[[Exchange], PolicyRules],
        clock: Clock,
        signals: Signals = frozenset,
    ) -> None:
        self._exchanges, self._rules, self._clock, self._signals = exchanges, rules, clock, signals

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Decide at once, unless a rule that bears on the request reads its body."""
        exchange = self._exchanges[flow.id]
        if not self._enter(exchange):
            return
        if exchange.decision is None:
            exchange.decision = settle(self._rules(exchange).policy, self._facts(exchange))
        if exchange.decision:
            exchange.refusal = refusal_of(exchange.decision)

    def request(self, flow: http.HTTPFlow) -> None:
        """Decide what was left open, now that the body is there, and make the request what the rules say."""
        exchange = self._exchanges[flow.id]
        if exchange.decision is None:
            exchange.decision = conclude(self._rules(exchange).policy, self._facts(exchange))
            exchange.refusal = refusal_of(exchange.decision)
        if exchange.refusal is None:
            _shape(flow.request, exchange.decision)

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """A tunnel only has to lead to a target the caller may reach; each request inside is decided on its own."""
        exchange = self._exchanges[flow.id]
        if not self._enter(exchange, scheme="https"):
            return
        exchange.decision = exchange.decision or Decision(Effect.ALLOW, TUNNEL_MAY_OPEN)
        exchange.refusal = refusal_of(exchange.decision)

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
        if reason := entry_refused(targets, principal, target):
            exchange.decision = Decision(Effect.DENY, reason, observed=target is not None and target.observe)
        return True

    def _facts(self, exchange: Exchange) -> Facts:
        if exchange.request is None:
            raise HeadgateError("a request is decided on that identity has not passed")
        now = self._clock()
        return Facts(Subject(exchange.principal, exchange.request, exchange.target, now, exchange.signals))


def refusal_of(decision: Decision) -> Refusal | None:
    """What a caller is told of a decision that does not let its request pass."""
    if decision.lets_pass:
        return None
    rule = decision.rules[0].id if decision.rules else None
    if decision.effect is Effect.APPROVE:
        return approval_required(APPROVALS_UNAVAILABLE, decision.message, rule)
    return denied(decision.reason, decision.message, rule)


def _shape(request: http.Request, decision: Decision) -> None:
    """Change the request that goes on; where policy is not enforced, it changes nothing either."""
    shaping = decision.shaping
    if not shaping or decision.observed:
        return
    request.headers = http.Headers(shaped_fields(request.headers.fields, shaping))
    path, mark, query = request.path.partition("?")
    if shaping.remove_query and mark:
        kept = shaped_query(query, shaping.remove_query)
        request.data.path = (f"{path}?{kept}" if kept else path).encode()
