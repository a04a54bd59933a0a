"""The sample API: customers, refunds, builds, an admin route; and two routes whose answers no proxy could read."""

import gzip
import json
from typing import Any

from headgate.demo.data import ADMIN, CUSTOMERS, REPORT
from headgate.demo.listener import Answer, Call, Listener


class SampleApi:
    """Answers to whoever reaches it, as services do that rely on a proxy; keeps every call in `calls`."""

    def __init__(self, port: int = 0) -> None:
        self.calls: list[Call] = []
        self._listener = Listener(self._answer, port)
        self.port, self.url = self._listener.port, self._listener.url
        self.close = self._listener.close

    def _answer(self, call: Call) -> Answer:
        self.calls.append(call)
        route = call.target.partition("?")[0]
        if route == "/v1/refunds" and call.method == "POST":
            return _refund(call)
        if route == "/v1/reports/refunds.txt":
            return _report(call)
        if route.startswith("/v1/customers/"):
            found = CUSTOMERS.get(route.rpartition("/")[2])
            return _json(found) if found else _json({"error": "no such customer"}, 404)
        return ROUTES.get(route) or _json({"error": "no such route"}, 404)


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(json.dumps(value).encode() + b"\n", status)


def _refund(call: Call) -> Answer:
    """Accept a refund, and repeat where the money goes, as such APIs do."""
    try:
        customer = CUSTOMERS[str(json.loads(call.body)["customer"])]
    except (ValueError, KeyError, TypeError):
        return _json({"error": "accepted: {`customer`: number, `amount`: number}"}, 400)
    return _json({"refund": 9001, "status": "booked", "to": customer["iban"], "receipt": customer["email"]}, 201)


def _report(call: Call) -> Answer:
    text = REPORT.encode()
    if "gzip" in call.headers.get("accept-encoding", ""):
        return Answer(gzip.compress(text), content_type="text/plain; charset=utf-8", coding="gzip")
    return Answer(text, content_type="text/plain; charset=utf-8")


ROUTES = {
    "/health": _json({"status": "ok"}),
    "/v1/builds/7": _json({"build": 7, "commit": "9f1c2ab", "status": "green"}),
    "/v1/customers": _json({"customers": list(CUSTOMERS.values())}),
    "/v1/admin/keys": _json(ADMIN),
    "/v1/exports/damaged": Answer(b'{"email": "jonas.berg@posteo.de", "card": '),
    "/v1/exports/unknown-coding": Answer(b"jonas.berg@posteo.de", coding="x-shop"),
}
"""What is answered to any method."""
