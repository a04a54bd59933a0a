"""Headgate: an identity-aware access proxy with runtime guardrails, as a chain of mitmproxy addons."""

__version__ = "0.1.0"
