"""Whether a request is one that its target's OpenAPI description (3.0 or 3.1) knows.

Compiled once, when the rules are activated; a check does no work on schemas. What is not described is a violation:
paths, methods, query parameters and members of bodies alike. Violations name places and keywords, never values.
"""

from headgate.policy.openapi.description import Description, compile_description
from headgate.policy.openapi.faults import InvalidDescription
from headgate.policy.openapi.spec import OpenAPI, OpenAPISpec, load_description, spelled_out
from headgate.policy.openapi.violations import Violation

__all__ = [
    "Description",
    "InvalidDescription",
    "OpenAPI",
    "OpenAPISpec",
    "Violation",
    "compile_description",
    "load_description",
    "spelled_out",
]
