"""What a person writes under `openapi:` of a target, and the description that it names."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from headgate.bundled import Files
from headgate.match import Section, Text
from headgate.policy.openapi.description import Description, compile_description


class OpenAPISpec(Section):
    """`file` is relative to the bundle's folder. `shadow`: what fails is recorded, not refused."""

    file: Text
    mode: Literal["enforce", "shadow"] = "enforce"
    unknown_query: Literal["refuse", "allow"] = "refuse"
    unknown_members: Literal["refuse", "allow"] = "refuse"


def spelled_out(value: Any) -> Any:
    """Text stands for a description with the defaults."""
    return {"file": value} if isinstance(value, str) else value


OpenAPI = Annotated[OpenAPISpec, BeforeValidator(spelled_out, json_schema_input_type=Text | OpenAPISpec)]
"""The type of the key `openapi` in a section of the rules."""


def load_description(spec: OpenAPISpec, files: Files) -> Description:
    """The description that a target names; `headgate.bundled.Unusable` or InvalidDescription, both ValueError."""
    data = files.contents(spec.file)
    return compile_description(data, spec.file, unknown_query=spec.unknown_query, unknown_members=spec.unknown_members)
