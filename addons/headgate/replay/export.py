"""A recorded request as a `curl` command: what curl sends is what was recorded, and nothing else happens.

mitmproxy writes such commands, too, but lets curl read a file where a body begins with `@`, ends a body at a line
break that a shell drops, and has printf read percent signs; so these are written here. `-g` keeps curl from reading
brackets in a URL as patterns, `--path-as-is` from resolving dots. A body that is no text, or has what no argument can
have, comes from printf by octal numbers, in the one way that every shell knows (POSIX, printf, `%b`).
"""

import re
import shlex

from headgate.capture.entries import Entry
from headgate.capture.record import Kind
from headgate.errors import HeadgateError

FORMATS = ("mitmproxy", "har", "curl", "raw")

USUAL = {"http": 80, "https": 443}
CURLS_OWN = frozenset({"content-length", "host", "transfer-encoding", "connection"})
"""Headers that curl sets itself, from the URL and the body."""

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_PLAIN = re.compile(rb"[\x20-\x7e]*\Z")


def curl_command(entry: Entry) -> str:
    """One line for a shell; bytes that are no text are surrogates in it. HeadgateError for what curl cannot send."""
    summary, sent = entry.summary, entry.request
    if entry.kind == Kind.TCP:
        raise HeadgateError(f"the flow `{summary.flow_id}` is no HTTP: curl cannot send it")
    words = ["curl", "-g", "--path-as-is"]
    if summary.method == "HEAD":
        words.append("-I")
    elif summary.method != ("POST" if sent.body else "GET"):
        words += ["-X", summary.method]
    url = _url(entry)
    named = {name.lower() for name, _ in sent.headers or ()}
    for name, value in sent.headers or ():
        words += _header(name, value, entry)
    if sent.body and "content-type" not in named:
        words += ["-H", "content-type:"]  # which takes off the one that curl would make up
    command, body = [*words], sent.body
    if not body:
        return " ".join(map(shlex.quote, [*command, url]))
    if _PLAIN.match(body):
        return " ".join(map(shlex.quote, [*command, "--data-raw", body.decode("ascii"), url]))
    piped = " ".join(map(shlex.quote, [*command, "--data-binary", "@-", url]))
    return f"printf %b {shlex.quote(_octal(body))} | {piped}"


def _header(name: str, value: str, entry: Entry) -> list[str]:
    """What asks for one header; nothing for those that are curl's own, or that no header can be."""
    summary = entry.summary
    own = {f"{summary.host}:{summary.port}"} | ({summary.host} if USUAL.get(summary.scheme) == summary.port else set())
    usual = name.lower() in CURLS_OWN and (name.lower() != "host" or value.lower() in own)
    if usual or not _NAME.match(name) or any(character in value for character in "\r\n\0"):
        return []
    return ["-H", f"{name};" if not value else f"{name}: {_shown(value)}"]


def _url(entry: Entry) -> str:
    summary = entry.summary
    port = "" if USUAL.get(summary.scheme) == summary.port else f":{summary.port}"
    host = f"[{summary.host}]" if ":" in summary.host else summary.host
    query = f"?{summary.query}" if summary.query else ""
    return f"{summary.scheme}://{_escaped(host)}{port}{_escaped(summary.path)}{_escaped(query)}"


def _escaped(text: str) -> str:
    """Without what would end an argument, or a line."""
    return re.sub(r"[\x00-\x20\x7f]", lambda found: f"%{ord(found[0]):02X}", _shown(text))


def _shown(text: str) -> str:
    """Text that can be written as the bytes it stands for (surrogateescape)."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def _octal(body: bytes) -> str:
    """For printf's `%b`: letters, digits and a few signs as they are."""
    return "".join(
        chr(byte)
        if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in ' .,:;/{}[]"=&+_-')
        else f"\\0{byte:03o}"
        for byte in body
    )
