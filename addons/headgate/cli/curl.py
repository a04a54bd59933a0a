"""A `curl` command line as the request that it makes, as far as its options are about the request."""

import re
import shlex
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote_plus

import click

from headgate.cli.asked import Asked, Fields, at_url, contents

FLAGS = {
    **dict.fromkeys(("-G", "--get"), "get"),
    **dict.fromkeys(("-I", "--head"), "head"),
    **dict.fromkeys(("-k", "--insecure", "-s", "--silent", "-S", "--show-error", "-i", "--include"), ""),
    **dict.fromkeys(("-L", "--location", "--compressed", "-v", "--verbose", "-f", "--fail", "-g", "--globoff"), ""),
    **dict.fromkeys(("--http1.1", "--http2", "-#", "--progress-bar", "-N", "--no-buffer"), ""),
}
"""Options without a value; what is about curl itself changes nothing."""
VALUES = {
    **dict.fromkeys(("-X", "--request"), "request"),
    **dict.fromkeys(("-H", "--header"), "header"),
    **dict.fromkeys(("-d", "--data", "--data-ascii"), "data"),
    "--data-raw": "data-raw",
    "--data-binary": "data-binary",
    "--data-urlencode": "data-urlencode",
    "--json": "json",
    "--url": "url",
    **dict.fromkeys(("-u", "--user"), "user"),
    **dict.fromkeys(("-b", "--cookie"), "cookie"),
    **dict.fromkeys(("-A", "--user-agent"), "agent"),
    **dict.fromkeys(("-e", "--referer"), "referer"),
    **dict.fromkeys(("-o", "--output", "-m", "--max-time", "--connect-timeout", "-w", "--write-out"), ""),
}
"""Options with a value."""
FORMS = ("-F", "--form", "--form-string", "-T", "--upload-file")
FORM_TYPE = "application/x-www-form-urlencoded"
ACCEPTED = (
    "-X -H -d --data-raw --data-binary --data-urlencode --json -G -I --url -u -b -A -e -k -s -S -i -L -f -v -o -m"
    " --compressed"
)


@dataclass(slots=True)
class _Line:
    """What the options come to so far."""

    method: str | None = None
    urls: list[str] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    json: bool = False
    get: bool = False
    head: bool = False


def in_curl(text: str) -> Asked:
    """The request of one command line; UsageError names what is accepted, and repeats no value."""
    line = _Line()
    words = _words(text)
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            line.urls.append(word)
            continue
        name, value = _option(word, words)
        _take(line, name, value)
    if len(line.urls) != 1:
        raise click.UsageError(f"the curl line has {len(line.urls)} URLs; accepted: one")
    return _request(line)


def _words(text: str) -> list[str]:
    if re.search(r"(?:\A|\s)\$'", text):
        raise click.UsageError("the curl line quotes with `$'...'`; accepted: plain quotes, or --request with a file")
    try:
        words = shlex.split(re.sub(r"\\\r?\n", " ", text))
    except ValueError:
        raise click.UsageError("the curl line has a quote that is not closed; accepted: a whole command line") from None
    if words[:1] != ["curl"]:
        raise click.UsageError("that is no curl line; accepted: one that begins with `curl`")
    return words[1:]


def _option(word: str, words: list[str]) -> tuple[str, str]:
    """What an option is called in the tables above, and its value; short ones may stand together, with their value."""
    name, rest = (word, "") if word.startswith("--") else (word[:2], word[2:])
    if name in FORMS:
        raise click.UsageError(f"`{name}` sends a form of parts or a file, which is not read; accepted: {ACCEPTED}")
    if name in VALUES:
        if not rest and not words:
            raise click.UsageError(f"`{name}` lacks its value at the end of the curl line")
        return VALUES[name], rest or words.pop(0)
    if name not in FLAGS:
        shown = name if re.fullmatch(r"--?[A-Za-z0-9.#-]{1,40}", name) else "an option"
        raise click.UsageError(f"`{shown}` of the curl line is not known here; accepted: {ACCEPTED}")
    if rest:
        words.insert(0, f"-{rest}")
    return FLAGS[name], ""


def _take(line: _Line, name: str, value: str) -> None:
    match name:
        case "request":
            line.method = value
        case "header":
            header, separator, content = value.partition(":")
            if not separator:
                raise click.UsageError("`-H` of the curl line is no header; accepted: `Name: value`")
            if content.strip():  # `Name:` takes a header of curl's own away
                line.headers.append((header.strip(), content.strip()))
        case "data" | "data-binary" | "data-raw" | "data-urlencode" | "json":
            line.json |= name == "json"
            line.data.append(_content(name, value))
        case "url":
            line.urls.append(value)
        case "user":
            line.headers.append(("Authorization", f"Basic {b64encode(value.encode()).decode()}"))
        case "cookie":
            if "=" not in value:
                raise click.UsageError("`-b` of the curl line names a file; accepted: cookies as `name=value`")
            line.headers.append(("Cookie", value))
        case "agent" | "referer":
            line.headers.append(({"agent": "User-Agent", "referer": "Referer"}[name], value))
        case "get":
            line.get = True
        case "head":
            line.head = True


def _content(name: str, value: str) -> bytes:
    """What an option adds to the body: text, or with `@` a file, of which `-d` leaves out ends of lines."""
    if name == "data-urlencode":
        key, equals, content = value.partition("=")
        return f"{key}{'=' if key and equals else ''}{quote_plus(content if equals else key)}".encode()
    if not value.startswith("@") or name == "data-raw":
        return value.encode("utf-8", "surrogatepass")
    data = contents(Path(value[1:]))
    return data.replace(b"\r", b"").replace(b"\n", b"") if name == "data" else data


def _request(line: _Line) -> Asked:
    url = line.urls[0] if "://" in line.urls[0] else f"http://{line.urls[0]}"
    url = url.partition("#")[0]
    body = (b"" if line.json else b"&").join(line.data)
    if line.get and line.data:
        url, body = f"{url}{'&' if '?' in url else '?'}{body.decode('latin-1')}", b""
    posts = bool(line.data) and not line.get
    method = line.method or ("HEAD" if line.head else "POST" if posts else "GET")
    return at_url(method, url, _fields(line, posts), body)


def _fields(line: _Line, posts: bool) -> Fields:
    """The headers given, and those that curl adds for a body."""
    given = {name.lower() for name, _ in line.headers}
    kind = "application/json" if line.json else FORM_TYPE
    added = [("Content-Type", kind)] if posts and "content-type" not in given else []
    added += [("Accept", "application/json")] if line.json and "accept" not in given else []
    encoded = (
        (name.encode("utf-8", "surrogatepass"), value.encode("utf-8", "surrogatepass"))
        for name, value in line.headers + added
    )
    return tuple(encoded)
