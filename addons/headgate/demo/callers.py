"""Who calls in the demo: the claims of each caller's token, as a company's login would sign them."""

from collections.abc import Mapping
from typing import Any

SUPPORT: Mapping[str, Any] = {"sub": "ana", "azp": "desk", "groups": ["support"], "env": "shop"}
CI_JOB: Mapping[str, Any] = {"sub": "ci:shop/api:main", "azp": "ci", "env": "shop"}
AGENT: Mapping[str, Any] = {**SUPPORT, "act": {"sub": "copilot"}}
"""What an agent gets when it acts for a person: their claims, and an `act` claim (RFC 8693) that says who acts."""

STAGING_JOB: Mapping[str, Any] = {**CI_JOB, "sub": "ci:shop/api:next", "env": "staging"}

CALLERS: Mapping[str, Mapping[str, Any]] = {"ana": SUPPORT, "ci": CI_JOB, "copilot": AGENT}
"""Who may ask the sample identity provider for a token of their own."""
