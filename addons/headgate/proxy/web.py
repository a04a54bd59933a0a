"""mitmweb as a window: its reading routes answer, and nothing else does.

mitmweb's own API can rewrite held flows, unload scripts, change options and inject traffic, for whoever holds its one
token. The list below names what may be read; a route that is not on it, or a method that writes, is refused before
mitmweb's handler exists. Every flow in its list has ended and been masked (see `dispatch`).
"""

import re
from typing import Any

import tornado.web
from mitmproxy import optmanager
from mitmproxy.tools.web import app
from mitmproxy.tools.web.master import WebMaster

READABLE = re.compile(
    r"""
    / | /static/.* | /updates | /filter-help(\.json)? | /commands(\.json)? | /events(\.json)? | /state(\.json)?
    | /flows(\.json)? | /flows/dump
    | /flows/[0-9a-f-]+/(request|response|messages)/content(\.data|/[0-9a-zA-Z_%-]+(\.json)?)
    """,
    re.VERBOSE,
)
SECRET_OPTIONS = ("web_password", "cert_passphrase")
COLUMNS = ["tls", "icon", "path", "comment", "method", "status", "size", "time"]

ADVICE = (
    "headgate: this window only reads. Rules decide what may pass (`headgate rules check`), "
    "the record is read with `headgate flows list` and `headgate flows show ID`.\n"
)


class Refused(app.RequestHandler):
    """Answers every route and method that is not for reading."""

    def check_xsrf_cookie(self) -> None:
        """Nothing is written here, and the reason is worth more to the reader than a missing token."""

    def _refuse(self, **_: Any) -> None:
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish(ADVICE)

    get = head = post = put = delete = patch = options = _refuse


class ReadOptions(app.RequestHandler):
    """The options as mitmweb's page wants them, without those that are secrets."""

    def get(self) -> None:
        shown = optmanager.dump_dicts(self.master.options)
        for name in SECRET_OPTIONS:
            if name in shown:
                shown[name]["value"] = ""
        self.write(shown)


def install_window(master: WebMaster) -> None:
    """Put the list before mitmweb's router, and its comment column, which holds the verdict, into the page."""
    application: Any = master.app
    find_handler = application.find_handler

    def find(request: Any, **keywords: Any) -> Any:
        handler = _handler(request.method or "", request.path)
        if handler is None:
            return find_handler(request, **keywords)
        return application.get_handler_delegate(request, handler)

    application.find_handler = find
    if not master.options.has_changed("web_columns"):
        master.options.update(web_columns=COLUMNS)


def _handler(method: str, path: str) -> type[tornado.web.RequestHandler] | None:
    """The handler that answers in mitmweb's stead; None lets mitmweb answer. `POST /` is its login form."""
    if method == "GET" and path in ("/options", "/options.json"):
        return ReadOptions
    if (method in ("GET", "HEAD") and READABLE.fullmatch(path)) or (method == "POST" and path == "/"):
        return None
    return Refused
