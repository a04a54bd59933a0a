"""Refuse every request that the rules in force do not allow."""

from collections.abc import Callable, Mapping

from mitmproxy import http

from headgate.model import Decision, Effect, Exchange, Principal, Request, denied, guard_error
from headgate.policy.engine import TUNNEL_MAY_OPEN, PolicyRules, decide, entry_refused

Clock = Callable[[], float]
"""Seconds since the epoch."""


class Policy:
    """Judges what identity has found out; `rules` gives those in force when the request came."""

    def __init__(
        self, exchanges: Mapping[str, Exchange], rules: Callable[[Exchange], PolicyRules], clock: Clock
    ) -> None:
        self._exchanges, self._rules, self._clock = exchanges, rules, clock

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = self._exchanges[flow.id]
        if (known := _identified(exchange)) is None:
            return
        principal, request = known
        targets, policy = self._rules(exchange)
        exchange.target = targets.resolve(request.scheme, request.host, request.port)
        exchange.decision = decide(policy, targets, principal, exchange.target, request, now=self._clock())
        _enforce(exchange, exchange.decision)

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """A tunnel only has to lead to a target the caller may reach; each request inside is decided on its own."""
        exchange = self._exchanges[flow.id]
        if (known := _identified(exchange)) is None:
            return
        principal, request = known
        targets = self._rules(exchange).targets
        exchange.target = targets.resolve("https", request.host, request.port)
        reason = entry_refused(targets, principal, exchange.target)
        exchange.decision = Decision(Effect.DENY, reason) if reason else Decision(Effect.ALLOW, TUNNEL_MAY_OPEN)
        _enforce(exchange, exchange.decision)


def _identified(exchange: Exchange) -> tuple[Principal, Request] | None:
    """What identity left; a request that got here without it is refused."""
    if exchange.principal is None or exchange.request is None:
        exchange.refusal = guard_error("policy-without-identity")
        return None
    return exchange.principal, exchange.request


def _enforce(exchange: Exchange, decision: Decision) -> None:
    if decision.effect is not Effect.ALLOW:
        rule = decision.rules[0].id if decision.rules else None
        exchange.refusal = denied(decision.reason, decision.message, rule)
