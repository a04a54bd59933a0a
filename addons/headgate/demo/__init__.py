"""A day at a small shop, on loopback: a sample API, a sample identity provider, a bundle for both, and who calls.

The proxy is the real one, started as a person would start it. Nothing here stands in for a guardrail: what the demo
shows is what the caller got, what the sample API received, and what the record says.
"""
