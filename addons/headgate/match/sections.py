"""What every mapping in a rules file has in common: unknown keys are errors, and so is a key without a value."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator


class Section(BaseModel):
    """A mapping in a rules file: unknown keys are errors, and so is a key without a value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _given(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None:
            everything = "; what matches everything is written `match: {}`" if info.field_name == "match" else ""
            raise ValueError(f"a value is missing{everything}")
        return value


class Conditions(Section):
    """A mapping of conditions of which at least one must be there, since none would match everything."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.model_fields_set:
            names = ", ".join(f"`{field.alias or name}`" for name, field in type(self).model_fields.items())
            raise ValueError(f"no condition is given; accepted: at least one of {names}")
        return self


def listed(value: Any) -> Any:
    """One value stands for a list of one."""
    return value if isinstance(value, list | tuple) else (value,)


def shape(value: Any) -> str:
    """Which of two forms a value has, for a discriminator: a mapping, or values by themselves."""
    return "a-mapping" if isinstance(value, Mapping | BaseModel) else "names"


Text = Annotated[str, Field(min_length=1)]
Some = Field(min_length=1)
Names = Annotated[tuple[Text, ...], BeforeValidator(listed, json_schema_input_type=Text | list[Text]), Some]
