"""What the admin listener answers: public keys, and how the proxy is. Nothing here needs to know who asks.

An answer holds no path of this machine, no rule and no name from a rule but the bundle's own. Everything is refused
that is not listed, in the form in which the proxy refuses (RFC 9457), and nothing may be written.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tornado.web import Application, HTTPError, RequestHandler

from headgate.model import BundleRef

log = logging.getLogger(__name__)

JWKS_PATH = "/.well-known/headgate/jwks.json"
JWKS_MAX_AGE = 60
"""Seconds for which an upstream may go on with the keys it has fetched."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Status:
    """How the proxy is, asked anew for each answer.

    `bundle` are the rules in force; `degraded` is a stable reason code while it is not as its operators want it, None
    otherwise; `keys_missing` says whether a provider has no usable keys; `jwks` are the keys of its assertions.
    """

    bundle: Callable[[], BundleRef | None]
    degraded: Callable[[], str | None]
    keys_missing: Callable[[], bool]
    jwks: Callable[[], Mapping[str, Any]]


class Page(RequestHandler):
    """One path; a subclass answers `get`. `answers_to` tells by its `Host` whether a request is meant for us."""

    def initialize(self, status: Status, answers_to: Callable[[str], bool]) -> None:
        self.status, self._answers_to = status, answers_to

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        if not self._answers_to(self.request.host):
            raise HTTPError(421)

    def show(self, document: Mapping[str, Any], content_type: str = "application/json") -> None:
        self.set_header("Content-Type", content_type)
        self.finish(json.dumps(document).encode() + b"\n")

    def write_error(self, status_code: int, **_: Any) -> None:
        if status_code == 405:
            self.set_header("Allow", "GET, HEAD")
        problem = {"type": "about:blank", "title": self._reason, "status": status_code}
        self.show(problem, "application/problem+json")

    def log_exception(self, kind: Any, value: Any, _: Any) -> None:
        """tornado would log the request with it, and its headers may hold what nobody may read."""
        if not isinstance(value, HTTPError):
            log.error("the admin page `%s` failed: %s", type(self).__name__, getattr(kind, "__name__", "unknown"))

    def compute_etag(self) -> None:
        return None


class Missing(Page):
    """Every path that is not listed."""

    def prepare(self) -> None:
        super().prepare()
        raise HTTPError(404)


class Jwks(Page):
    """The public keys of the assertions that upstreams get, as a JWK Set (RFC 7517); empty without any."""

    def get(self) -> None:
        self.set_header("Cache-Control", f"public, max-age={JWKS_MAX_AGE}")
        self.show(self.status.jwks())

    head = get


class Healthz(Page):
    """200 as long as the process answers; `status` tells whether it is as its operators want it."""

    def get(self) -> None:
        bundle, degraded = self.status.bundle(), self.status.degraded()
        about = bundle and {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
        document = {"status": "degraded" if degraded else "ok", "degraded": degraded, "bundle": about}
        self.show({name: value for name, value in document.items() if value is not None})

    head = get


class Readyz(Page):
    """503 while requests would be refused for want of rules or of a provider's keys."""

    def get(self) -> None:
        waiting = "rules" if self.status.bundle() is None else "keys" if self.status.keys_missing() else None
        if waiting:
            self.set_status(503)
        self.show({"ready": False, "waiting_for": waiting} if waiting else {"ready": True})

    head = get


PAGES: Mapping[str, type[Page]] = {JWKS_PATH: Jwks, "/healthz": Healthz, "/readyz": Readyz}


def application(status: Status, answers_to: Callable[[str], bool]) -> Application:
    """The listener's pages; what is asked of them is not logged."""
    given = {"status": status, "answers_to": answers_to}
    return Application(
        [(path, page, given) for path, page in PAGES.items()],
        default_handler_class=Missing,
        default_handler_args=given,
        log_function=lambda _: None,
    )
