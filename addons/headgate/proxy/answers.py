"""A refusal as the caller receives it: RFC 9457 problem details, never a success code, never more than it may know."""

import json

from mitmproxy import http

from headgate.model import Effect, Exchange, Refusal

PROBLEM = "urn:headgate:problem:"
NO_STORE = ((b"Cache-Control", b"no-store"),)


def answer(refusal: Refusal, decision_id: str, method: str = "GET") -> http.Response:
    """The response for `refusal`; without a body for HEAD (RFC 9110, section 9.3.2).

    Of a refused CONNECT clients show the status line at most and drop the rest: its reason phrase says why, too.
    """
    fields = {
        "type": PROBLEM + refusal.slug,
        "title": refusal.title,
        "status": refusal.status,
        "reason": refusal.reason,
        "detail": refusal.message,
        "rule": refusal.rule,
        **dict(refusal.details),
        "decision_id": decision_id,
    }
    body = json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    headers |= _challenge(refusal) | dict(refusal.headers)
    response = http.Response.make(refusal.status, b"" if method == "HEAD" else body + b"\n", headers)
    if method == "CONNECT":
        response.reason = f"{response.reason} ({refusal.reason})"
    return response


def stand_in(decision_id: str) -> http.Response:
    """What stands on a flow until it has been judged; built by hand, since every request needs it."""
    body = f'{{"type": "{PROBLEM}guard-error", "status": 503, "decision_id": "{decision_id}"}}\n'.encode()
    length = str(len(body)).encode()
    headers = http.Headers(((b"Content-Type", b"application/problem+json"), (b"Content-Length", length), *NO_STORE))
    return http.Response(b"HTTP/1.1", 503, b"Service Unavailable", headers, body, None, 0.0, 0.0)


def _challenge(refusal: Refusal) -> dict[str, str]:
    """How to authenticate (RFC 6750, section 3; RFC 9110, section 11.7.1 for a forward proxy)."""
    if refusal.status == 407:
        return {"Proxy-Authenticate": 'Basic realm="headgate"'}
    if refusal.status != 401:
        return {}
    error = "" if refusal.reason == "no-token" else f', error="invalid_token", error_description="{refusal.reason}"'
    return {"WWW-Authenticate": f'Bearer realm="headgate"{error}'}


def verdict_line(exchange: Exchange) -> str:
    """The verdict at a glance, such as `refused: agents-never-delete` or `allowed: support-reads, 3 masked`.

    What policy says of an observed target is not enforced, and that comes first."""
    decision = exchange.decision
    if refusal := exchange.refusal:
        return f"{'withheld' if refusal.slug == 'withheld' else 'refused'}: {refusal.rule or refusal.reason}"
    rules = ", ".join(rule.id for rule in decision.rules) if decision else ""
    said = f"allowed: {rules}"
    if decision and decision.observed:
        passing = decision.effect is Effect.ALLOW and not decision.violations
        said = f"NOT ENFORCED (observed), {said if passing else f'would be refused: {rules or decision.reason}'}"
    elif decision and decision.shadow_effect:
        said += f", in shadow mode {decision.shadow_effect}: {', '.join(rule.id for rule in decision.shadow)}"
    masked = sum(mask.count for mask in exchange.masks)
    return said + (f", {masked} masked" if masked else "")


def marker(exchange: Exchange) -> str:
    """The sign at a flow in mitmweb."""
    if exchange.refusal:
        return ":no_entry:"
    return ":eyes:" if exchange.decision and exchange.decision.observed else ":white_check_mark:"
