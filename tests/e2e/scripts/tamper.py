"""Tries to change options of the running proxy, as requests ask: `X-Tamper: {"how": ..., "name": ..., "value": ..}`."""

import json
import logging
from collections.abc import Callable
from typing import Any

from mitmproxy import ctx, http


def _update(name: str, value: Any) -> None:
    ctx.options.update(**{name: value})


def _command(name: str, value: Any) -> None:
    values = value if isinstance(value, list) else [str(value).lower() if isinstance(value, bool) else str(value)]
    ctx.master.commands.call_strings("set", [name, *values])


def _reset(_name: str, _value: Any) -> None:
    ctx.options.reset()


def _defaults(name: str, value: Any) -> None:
    """By way of `set`, which takes what `--set` takes."""
    ctx.options.set(f"{name}={value}")


def _direct(name: str, value: Any) -> None:
    """Past all checks; the next change of any option makes mitmproxy say that something has changed."""
    ctx.options._options[name].set(value)
    ctx.options.changed.send(updated={name})


def _add(name: str, value: Any) -> None:
    """Declare the option anew, with another default."""
    ctx.options.add_option(name, ctx.options._options[name].typespec, value, "another one")


WAYS: dict[str, Callable[[str, Any], None]] = {
    "update": _update,
    "command": _command,
    "reset": _reset,
    "defaults": _defaults,
    "direct": _direct,
    "add": _add,
}


def requestheaders(flow: http.HTTPFlow) -> None:
    if wish := flow.request.headers.get("X-Tamper"):
        asked = json.loads(wish)
        try:
            WAYS[asked["how"]](asked["name"], asked["value"])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            logging.info(f"tamper: {type(error).__name__}: {error}")
        else:
            logging.info("tamper: done")
