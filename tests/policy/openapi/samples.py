"""Descriptions and requests for these tests."""

import json
from typing import Any

from headgate.model import Request
from headgate.policy.openapi import Description, Violation, compile_description


def request(method: str = "GET", path: str = "/", **parts: Any) -> Request:
    """A request as it would be forwarded; `json` and `form` are bodies with their Content-Type."""
    headers = parts.get("headers", ())
    pairs = [(name, value) for name, value in (headers.items() if isinstance(headers, dict) else headers)]
    body = parts.get("body", b"")
    if "text" in parts:
        body = parts["text"].encode()
    elif "json" in parts:
        body, pairs = json.dumps(parts["json"]).encode(), [*pairs, ("content-type", "application/json")]
    elif "form" in parts:
        body, pairs = parts["form"].encode(), [*pairs, ("content-type", "application/x-www-form-urlencoded")]
    return Request(method, "https", "payments.internal", 443, path, parts.get("query", ""), tuple(pairs), "", body)


def described(schema: Any, version: str = "3.1.0", components: Any = None, **options: Any) -> Description:
    """A description with one operation, `POST /`, whose body has this schema."""
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    whole = {"openapi": version, "paths": {"/": {"post": {"requestBody": body}}}}
    whole["components"] = {"schemas": components or {}}
    return compile_description(json.dumps(whole).encode(), "api.json", **options)


def wrong(description: Description, value: Any) -> dict[str, str]:
    """What is wrong with a body, by pointer without `/body`."""
    return by_pointer(description.check(request("POST", "/", json=value)))


def by_pointer(violations: tuple[Violation, ...]) -> dict[str, str]:
    return {violation.pointer.removeprefix("/body"): violation.what for violation in violations}
