"""What schemas mean: closed objects, read-only members, both dialects, and limits on the work a body can cause."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.policy.openapi.samples import described, request, wrong

from headgate.policy.openapi import InvalidDescription
from headgate.policy.openapi.growth import is_within

UNDECLARED = "is not declared"


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


NAME, AGE = obj(name={"type": "string"}), obj(age={"type": "integer"})

CASES = yaml.safe_load((Path(__file__).parents[2] / "cases" / "openapi-closed.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_what_is_not_declared_is_refused_at_any_depth(case: dict[str, Any]) -> None:
    assert wrong(described(case["schema"]), case["value"]) == case["expect"]


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (NAME, {"x": 1}, {}),
        ({"allOf": [NAME, AGE]}, {"x": 1}, {}),
        (NAME, {"name": 1, "x": 1}, {"/name": "is not of type `string`"}),
        ({**NAME, "additionalProperties": False}, {"x": 1}, {"/x": UNDECLARED}),
    ],
)
def test_unknown_members_may_be_left_to_the_schema(schema: Any, value: Any, expected: dict[str, str]) -> None:
    assert wrong(described(schema, unknown_members="allow"), value) == expected


READ_ONLY = {"type": "object", "required": ["id", "name"], "properties": {"id": {"readOnly": True}, "name": {}}}


@pytest.mark.parametrize("options", [{}, {"unknown_members": "allow"}])
@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (READ_ONLY, {"name": 1}, {}),
        (READ_ONLY, {"name": 1, "id": 1}, {"/id": "is read-only and may not be sent"}),
        (READ_ONLY, {"name": 1, "id": None}, {"/id": "is read-only and may not be sent"}),
        ({"allOf": [READ_ONLY]}, {"name": 1, "id": 1}, {"/id": "is read-only and may not be sent"}),
        ({"items": READ_ONLY}, [{"name": 1}, {"name": 1, "id": 1}], {"/1/id": "is read-only and may not be sent"}),
        ({"oneOf": [READ_ONLY, {"type": "string"}]}, {"name": 1}, {}),
        (
            {"properties": {"a": {"$ref": "#/components/schemas/Id"}}},
            {"a": 1},
            {"/a": "is read-only and may not be sent"},
        ),
        ({"allOf": [{"required": ["id", "name"]}, {"properties": READ_ONLY["properties"]}]}, {"name": 1}, {}),
        ({"allOf": [{"$ref": "#/components/schemas/Sent"}, READ_ONLY]}, {"name": 1}, {}),
    ],
)
def test_read_only_members_are_neither_needed_nor_accepted(
    schema: Any, value: Any, expected: dict[str, str], options: Any
) -> None:
    components = {"Id": {"type": "integer", "readOnly": True}, "Sent": {"required": ["id"], "properties": {"name": {}}}}
    assert wrong(described(schema, components=components, **options), value) == expected


def test_a_choice_in_which_a_member_may_be_sent_still_needs_it() -> None:
    sent = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}
    assert wrong(described({"oneOf": [{**READ_ONLY, "required": ["id", "name"]}, sent]}), {}) != {}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string", "nullable": True}, ["a", None], [1]),
        ({"nullable": True, "enum": ["a"], "type": "string"}, ["a"], [None]),
        ({"allOf": [{"type": "object"}], "nullable": True}, [{}], [None]),
        ({"minimum": 1, "exclusiveMinimum": True}, [2, 1.01], [1]),
        ({"minimum": 1, "exclusiveMinimum": False}, [1], [0]),
        ({"maximum": 1, "exclusiveMaximum": True}, [0], [1]),
        ({"type": "string", "format": "byte"}, ["", "YQ=="], ["YQ", "a b="]),
        ({"type": "integer", "format": "int32"}, [2147483647, -2147483648], [2147483648, -2147483649]),
        ({"type": "number", "format": "double"}, [1, 1.5, 10**300], ["1"]),
        ({"type": "string", "format": "password", "example": "x", "xml": {}, "x-a": 1}, ["y"], [1]),
        ({"type": "string", "format": "made-up"}, ["y"], [1]),
        ({"$ref": "#/components/schemas/A", "maxLength": 1}, ["long"], [1]),
        ({"type": "array", "items": {}}, [[1, "a"]], [{}]),
    ],
)
def test_the_words_of_openapi_30(schema: Any, good: list[Any], bad: list[Any]) -> None:
    description = described(schema, "3.0.3", components={"A": {"type": "string"}})
    assert [value for value in good if wrong(description, value)] == []
    assert [value for value in bad if not wrong(description, value)] == []


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": ["string", "null"]}, ["a", None], [1]),
        ({"type": "string", "nullable": True}, ["a"], [None]),
        ({"exclusiveMinimum": 1}, [2], [1]),
        ({"$ref": "#/components/schemas/A", "maxLength": 2}, ["ab"], ["long", 1]),
        ({"const": 1}, [1, 1.0], ["1", True]),
        ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, [["a", 1]], [[1], ["a", "b"]]),
        ({"dependentRequired": {"a": ["b"]}}, [{"a": 1, "b": 1}], [{"a": 1}]),
        ({"propertyNames": {"pattern": "^[a-z]+$"}}, [{"a": 1}], [{"A": 1}]),
        ({"contains": {"type": "string"}, "minContains": 2}, [["a", "b"]], [["a"]]),
        ({"unevaluatedItems": False, "prefixItems": [True]}, [[1]], [[1, 2]]),
        (True, [1, None], []),
        (False, [], [1, None]),
        ({"type": "string", "format": "date-time"}, ["2024-02-29T23:59:59Z"], ["2023-02-29T00:00:00Z", "today"]),
        ({"type": "string", "format": "ipv6"}, ["::1"], ["1.1.1.1"]),
        ({"type": "string", "format": "uri"}, ["https://a.example/"], ["a b"]),
        ({"type": "string", "format": "hostname"}, ["a.example"], ["-"]),
    ],
)
def test_the_words_of_openapi_31(schema: Any, good: list[Any], bad: list[Any]) -> None:
    description = described(schema, "3.1.0", components={"A": {"type": "string"}})
    assert [value for value in good if wrong(description, value)] == []
    assert [value for value in bad if not wrong(description, value)] == []


PETS = {
    "Pet": {
        "type": "object",
        "required": ["name", "petType"],
        "properties": {"name": {"type": "string"}, "petType": {"type": "string"}},
        "discriminator": {"propertyName": "petType"},
    },
    "Cat": {
        "allOf": [
            {"$ref": "#/components/schemas/Pet"},
            {
                "type": "object",
                "required": ["huntingSkill"],
                "properties": {"huntingSkill": {"type": "string", "enum": ["clueless", "lazy"]}},
            },
        ]
    },
    "Dog": {
        "allOf": [
            {"$ref": "#/components/schemas/Pet"},
            {"type": "object", "required": ["packSize"], "properties": {"packSize": {"type": "integer", "minimum": 0}}},
        ]
    },
    "Puppy": {"allOf": [{"$ref": "#/components/schemas/Dog"}, {"type": "object", "properties": {"age": {}}}]},
}


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
@pytest.mark.parametrize(
    ("pet", "expected"),
    [
        ({"name": "a", "petType": "Cat", "huntingSkill": "lazy"}, {}),
        ({"name": "a", "petType": "Cat"}, {"/huntingSkill": "is missing"}),
        ({"name": "a", "petType": "Cat", "huntingSkill": "lazy", "packSize": 1}, {"/packSize": UNDECLARED}),
        ({"name": "a", "petType": "Dog", "packSize": -1}, {"/packSize": "is less than 0"}),
        ({"name": "a", "petType": "Puppy", "packSize": 1, "age": 1}, {}),
        ({"name": "a", "petType": "Dog", "packSize": 1, "age": 1}, {"/age": UNDECLARED}),
        ({"name": "a", "petType": "Fish"}, {}),
        ({"petType": "Fish"}, {"/name": "is missing"}),
    ],
)
def test_the_specifications_own_example_of_inheritance(version: str, pet: Any, expected: dict[str, str]) -> None:
    """OpenAPI 3.0.4, "Models with Polymorphism Support"."""
    assert wrong(described({"$ref": "#/components/schemas/Pet"}, version, PETS), pet) == expected


def test_the_specifications_own_example_of_choice() -> None:
    """OpenAPI 3.0.4, "Discriminator Object": MyResponseType."""
    components = {
        name: {"type": "object", "required": ["petType", need], "properties": {"petType": {"enum": [name]}, need: {}}}
        for name, need in (("Cat", "lives"), ("Dog", "bark"), ("Lizard", "lovesRocks"))
    }
    schema = {
        "oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in components],
        "discriminator": {"propertyName": "petType", "mapping": {"dog": "#/components/schemas/Dog"}},
    }
    description = described(schema, "3.0.3", components)
    assert wrong(description, {"petType": "Dog", "bark": True}) == {}
    assert wrong(description, {"petType": "Dog"}) == {"/bark": "is missing"}
    assert wrong(description, {"petType": "Dog", "bark": 1, "lives": 9}) == {"/lives": UNDECLARED}


TREE = {"type": "object", "properties": {"name": {"type": "string"}, "below": {"$ref": "#/components/schemas/Tree"}}}
CHOICES = {
    "oneOf": [
        {
            "properties": {"args": {"items": {"$ref": "#/components/schemas/Tree"}}, "op": {"const": op}},
            "required": ["op"],
        }
        for op in ("and", "or", "not", "xor")
    ]
}


def nested(levels: int) -> Any:
    value: Any = {"op": "what"}
    for _ in range(levels):
        value = {"op": "and", "args": [value]}
    return value


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_schemas_may_refer_to_themselves(version: str) -> None:
    description = described({"$ref": "#/components/schemas/Tree"}, version, {"Tree": TREE})
    assert wrong(description, {"name": "a", "below": {"below": {"name": 1}}}) == {
        "/below/below/name": "is not of type `string`"
    }
    assert wrong(description, {"below": {"below": {"x": 1}}}) == {"/below/below/x": UNDECLARED}


def test_what_is_wrong_is_found_where_choices_nest() -> None:
    description = described({"$ref": "#/components/schemas/Tree"}, components={"Tree": CHOICES})
    assert wrong(description, nested(2)) == {"/args/0/args/0": "has none of the forms accepted"}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"$ref": "#/components/schemas/Tree"}, nested(31)),
        ({"items": {"type": "string"}}, [1] * 200_000),
        ({"items": {"oneOf": [NAME, AGE]}}, [{"x": 1}] * 50_000),
        ({"additionalProperties": {"type": "string"}}, {str(number): number for number in range(100_000)}),
    ],
)
def test_errors_are_not_collected_where_there_may_be_too_many(schema: Any, value: Any) -> None:
    """Every error of these would take from seconds to years, and gigabytes, before the first could be told."""
    description = described(schema, components={"Tree": CHOICES})
    assert wrong(description, value) == {"": "does not match its schema, and is too large to say where"}


@pytest.mark.parametrize("schema", [NAME, {"allOf": [NAME, AGE]}])
def test_one_error_may_name_many_members(schema: Any) -> None:
    assert len(wrong(described(schema), {str(number): number for number in range(100_000)})) == 20


def test_judgements_are_counted_only_as_far_as_they_matter() -> None:
    tree: dict[str, Any] = {"anyOf": [{"items": {"$ref": "#/$defs/t"}}, {"items": {"$ref": "#/$defs/t"}}]}
    value: Any = []
    for _ in range(60):
        value = [value]
    definitions = {"t": tree}
    assert not is_within({"$ref": "#/$defs/t"}, definitions, value, 5000)
    assert is_within({"$ref": "#/$defs/t"}, definitions, [[]], 5000)
    assert is_within({"$ref": "#/$defs/t"}, definitions, [[]], 12)
    assert not is_within({"$ref": "#/$defs/t"}, definitions, [[]], 11)


def test_an_object_that_may_have_no_members() -> None:
    schema = {"properties": {"a": {"type": "object", "additionalProperties": False}}}
    assert wrong(described(schema), {"a": {}}) == {}
    assert wrong(described(schema), {"a": {"x": 1}}) == {"/a": "has members that are not declared"}


def test_at_most_twenty_violations() -> None:
    assert len(wrong(described({"items": {"type": "string"}}), [1] * 100)) == 20
    assert len(wrong(described(NAME), {str(number): 1 for number in range(100)})) == 20


@pytest.mark.parametrize(("brackets", "fits"), [(64, True), (65, False), (5000, False), (1_000_000, False)])
def test_a_body_nested_beyond_reason_is_refused(brackets: int, fits: bool) -> None:
    text = "[" * brackets + "]" * brackets
    found = described(True).check(request("POST", "/", headers={"content-type": "application/json"}, text=text))
    assert [violation.what for violation in found] == ([] if fits else ["is nested deeper than 64 levels"])


def test_a_pattern_takes_linear_time() -> None:
    description = described({"type": "string", "pattern": "^(a+)+$"})
    assert wrong(description, "a" * 100_000 + "!") == {"": "does not match its pattern"}


def test_no_violation_quotes_a_value() -> None:
    secret = "sk-live-0123456789"
    schema = {
        "properties": {
            "type": {"type": "integer"},
            "enum": {"enum": [1]},
            "const": {"const": 1},
            "format": {"type": "string", "format": "uuid"},
            "pattern": {"pattern": "^x$"},
            "max": {"maxLength": 1},
            "any": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "one": {"oneOf": [{"type": "string"}, {"maxLength": 100}]},
            "not": {"not": {"type": "string"}},
            "items": {"uniqueItems": True, "items": {"type": "integer"}},
            "names": {"propertyNames": {"maxLength": 1}},
        }
    }
    value = {name: [secret, secret] if name == "items" else secret for name in schema["properties"]}
    found = wrong(described(schema), {**value, "names": {"long": secret}, "unknown": secret})
    assert len(found) >= len(value)
    assert secret not in repr(found)


def test_a_schema_that_judges_its_own_value_by_itself_is_refused() -> None:
    with pytest.raises(InvalidDescription, match="refers to itself for the same value"):
        described({"$ref": "#/components/schemas/A"}, components={"A": {"allOf": [{"$ref": "#/components/schemas/A"}]}})


def test_a_schema_that_doubles_itself_again_and_again_is_refused() -> None:
    parts = {f"A{at}": {"allOf": [{"$ref": f"#/components/schemas/A{at + 1}"}] * 2} for at in range(40)}
    with pytest.raises(InvalidDescription, match="judgements of one value"):
        described({"$ref": "#/components/schemas/A0"}, components={**parts, "A40": {"type": "string"}})
