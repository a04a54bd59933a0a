"""What makes a description unusable, and that it is said with its file and place."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.openapi.samples import request

from headgate.bundled import Files, Unusable
from headgate.match import Section
from headgate.policy.openapi import InvalidDescription, OpenAPI, OpenAPISpec, compile_description, load_description
from headgate.policy.openapi.yamltext import read_yaml

CASES_FOLDER = Path(__file__).parents[2] / "cases"
PAYMENTS = CASES_FOLDER / "openapi" / "payments-3.1.yaml"


def problems(data: bytes | str | dict[str, Any]) -> tuple[str, ...]:
    """Why these are no description; none if they are."""
    text = json.dumps(data) if isinstance(data, dict) else data
    try:
        compile_description(text if isinstance(text, bytes) else text.encode(), "openapi/api.yaml")
    except InvalidDescription as error:
        return error.problems if str(error) == "; ".join(error.problems) else (f"told otherwise: {error}",)
    return ()


def api(paths: Any = None, version: str = "3.1.0", **more: Any) -> dict[str, Any]:
    return {"openapi": version, "paths": {"/a": {"get": {}}} if paths is None else paths, **more}


def parameter(schema: Any = None, version: str = "3.1.0", **more: Any) -> dict[str, Any]:
    one = {"name": "q", "in": "query", "schema": {"type": "string"} if schema is None else schema, **more}
    return api({"/a": {"get": {"parameters": [one]}}}, version)


def body(schema: Any, version: str = "3.1.0", media: str = "application/json", **more: Any) -> dict[str, Any]:
    return api({"/a": {"post": {"requestBody": {"content": {media: {"schema": schema, **more}}}}}}, version)


UNREADABLE = [
    ("nothing", "", "not a mapping; accepted: an OpenAPI 3.0 or 3.1 description"),
    ("no mapping", "[1]", "not a mapping; accepted: an OpenAPI 3.0 or 3.1 description"),
    ("no UTF-8", b"openapi: \xff", "not UTF-8; accepted: YAML or JSON in UTF-8"),
    ("broken YAML", "openapi: [", "line 2: not YAML: did not find expected node content; accepted: YAML or JSON"),
    (
        "a control character",
        "openapi: \x01",
        "not YAML: it holds a character that may not stand in YAML; accepted: YAML or JSON",
    ),
    ("an alias", "a: &x [1]\nb: *x", "line 1: an anchor (`&name`) stands here; accepted: `$ref`"),
    ("an alias alone", "b: *x", "line 1: an alias (`*name`) stands here; accepted: `$ref`"),
    ("a tag", "a: !!python/object:os.system {}", "line 1: a tag (`!name`) stands here; accepted: YAML without tags"),
    (
        "a merge key",
        "a:\n  <<: {b: 1}",
        "line 2: a merge key (`<<`) stands here; accepted: `$ref`, or `allOf` in a schema",
    ),
    ("a key twice", "a: 1\na: 2", "line 2: `a` is given twice; accepted: each key once"),
    ("a key twice in JSON", '{"a": 1, "a": 2}', "holds the member `a` twice; accepted: YAML or JSON"),
    ("a key that is no text", "? [a]\n: 1", "line 1: a key is not text; accepted: text"),
    ("two documents", "a: 1\n---\nb: 1", "line 2: a second document begins; accepted: one document in a file"),
    ("too deep", "[" * 65 + "]" * 65, "line 1: nested deeper than 64 levels; accepted: up to 64"),
    (
        "too deep in JSON",
        '{"a":' + "[" * 65 + "]" * 65 + "}",
        "is nested deeper than 64 levels; accepted: YAML or JSON",
    ),
    ("too large", b"#" * ((2 << 20) + 1), "larger than 2 MiB; accepted: up to 2 MiB"),
    (
        "a number too large",
        "a: 1e999",
        "line 1: a number stands here that no double can hold; accepted: text in quotes",
    ),
]


@pytest.mark.parametrize(("data", "what"), [case[1:] for case in UNREADABLE], ids=[case[0] for case in UNREADABLE])
def test_a_file_that_cannot_be_read(data: bytes | str, what: str) -> None:
    assert problems(data) == (f"file `openapi/api.yaml`: {what}",)


CASES = yaml.safe_load((CASES_FOLDER / "openapi-problems.yaml").read_text(encoding="utf-8"))


def of_case(case: dict[str, Any]) -> dict[str, Any]:
    version = case.get("version", "3.1.0")
    if "schema" in case:
        return body(case["schema"], version)
    if "parameter" in case:
        return api({"/a": {"get": {"parameters": [case["parameter"]]}}}, version)
    whole: dict[str, Any] = case["description"] if "description" in case else api(case["paths"], version)
    return whole


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_a_description_that_cannot_be_used(case: dict[str, Any]) -> None:
    (problem,) = problems(of_case(case))
    place = f" at `{case['where']}`" if case["where"] else ""
    assert problem.startswith(f"file `openapi/api.yaml`{place}: ")
    assert case["what"] in problem
    assert problem.isprintable()


def test_every_operation_that_cannot_be_used_is_told() -> None:
    paths = {f"/{name}": {"get": {"parameters": [{"name": "q", "in": name}]}} for name in ("a", "b")}
    assert [problem.split(": ")[0] for problem in problems(api({**paths, "/c": {"get": {}}, "d": {}}))] == [
        "file `openapi/api.yaml` at `/paths/~1a/get/parameters/0/in`",
        "file `openapi/api.yaml` at `/paths/~1b/get/parameters/0/in`",
        "file `openapi/api.yaml` at `/paths/d`",
    ]


def test_what_stands_in_a_message_moves_no_cursor() -> None:
    (problem,) = problems(body({"$ref": "https://a\n\x1b[31m" + "x" * 500}))
    assert problem.isprintable()
    assert len(problem) < 400


def test_what_requests_do_not_use_is_not_read() -> None:
    unused = {"schemas": {"A": {"$ref": "https://elsewhere.example"}, "B": {"type": "money"}}}
    assert problems(api({"/a": {"get": {"responses": {"200": {"$ref": "x.yaml"}}}}}, components=unused)) == ()


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]" for at in range(1, 30)]
    assert problems("\n".join(lines)) == (
        "file `openapi/api.yaml`: line 1: an anchor (`&name`) stands here; accepted: `$ref`",
    )


@pytest.mark.parametrize("doubled", [1, 2])
def test_schemas_that_lead_on_and_on_are_refused(doubled: int) -> None:
    """For a body and for a parameter, whose types are looked for beforehand; along members there is no end to it."""
    chain = {f"A{at}": {"allOf": [{"$ref": f"#/components/schemas/A{at + 1}"}] * doubled} for at in range(3000)}
    first = {"$ref": "#/components/schemas/A0"}
    for whole in (body(first), parameter(first)):
        whole["components"] = {"schemas": {**chain, "A3000": {"type": "string"}}}
        assert any("schemas for the same value" in problem for problem in problems(whole))
    members = {f"A{at}": {"properties": {"a": {"$ref": f"#/components/schemas/A{at + 1}"}}} for at in range(3000)}
    assert problems({**body(first), "components": {"schemas": {**members, "A3000": {"type": "string"}}}}) == ()


def test_yaml_is_read_as_openapi_means_it() -> None:
    """By the rules of YAML 1.2: a country is text, dates are text, and what is written in quotes is text."""
    text = """
        openapi: 3.1.0
        paths:
          /a:
            post:
              requestBody:
                content:
                  application/json:
                    schema: {enum: [NO, yes, on, 2024-01-01, "1", 0o17, 1_000, 12e1, ~, True, .inf, 010]}
    """
    description = compile_description(text.encode(), "a.yaml")
    accepted = ["NO", "yes", "on", "2024-01-01", "1", 15, "1_000", 120, None, True, ".inf", 10]
    refused = [False, 1, 1000, "True", "~", 8]
    for value, fits in [*((value, True) for value in accepted), *((value, False) for value in refused)]:
        assert (description.check(request("POST", "/a", json=value)) == ()) is fits, value


def test_json_and_yaml_are_the_same_description() -> None:
    whole = api(
        {"/a": {"post": {"requestBody": {"content": {"application/json": {"schema": {"enum": ["é", "\U0001f600"]}}}}}}}
    )
    for text in (
        json.dumps(whole),
        json.dumps(whole, indent=1, ensure_ascii=False),
        yaml.safe_dump(whole),
        "\ufeff" + json.dumps(whole),
    ):
        description = compile_description(text.encode(), "api.yaml")
        assert description.check(request("POST", "/a", json="\U0001f600")) == ()
        assert description.check(request("POST", "/a", json="\U0001f601")) != ()


@pytest.mark.parametrize(
    ("where", "path"),
    [("top", "/v1/a"), ("item", "/v2/a"), ("operation", "/v3/a")],
)
def test_the_nearest_servers_give_the_prefix(where: str, path: str) -> None:
    operation: dict[str, Any] = {}
    item: dict[str, Any] = {"get": operation}
    whole = api({"/a": item}, servers=[{"url": "https://a.example/v1/"}, {"url": "/other"}])
    if where != "top":
        item["servers"] = [{"url": "/v2"}]
    if where == "operation":
        operation["servers"] = [{"url": "HTTPS://b.example:8443/v3"}]
    description = compile_description(json.dumps(whole).encode(), "api.json")
    assert description.check(request(path=path)) == ()
    assert all(
        description.check(request(path=other))
        for other in ("/a", "/v1/a", "/v2/a", "/v3/a", "/other/a")
        if other != path
    )


class Target(Section):
    openapi: OpenAPI | None = None


def test_text_stands_for_a_file() -> None:
    assert Target.model_validate({"openapi": "a.yaml"}).openapi == OpenAPISpec(file="a.yaml")
    spelled = {"file": "a.yaml", "mode": "shadow", "unknown_query": "allow", "unknown_members": "allow"}
    assert Target.model_validate({"openapi": spelled}).openapi == OpenAPISpec.model_validate(spelled)
    assert OpenAPISpec(file="a.yaml").mode == "enforce"


@pytest.mark.parametrize(
    "value", ["", 1, [], {"file": ""}, {"mode": "shadow"}, {"file": "a", "mode": "log"}, {"file": "a", "unknown": 1}]
)
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="openapi"):
        Target.model_validate({"openapi": value})


def test_a_description_is_read_from_the_bundles_folder(tmp_path: Path) -> None:
    (tmp_path / "openapi").mkdir()
    (tmp_path / "openapi" / "api.json").write_text(json.dumps(api()), encoding="utf-8")
    spec = OpenAPISpec(file="openapi/api.json", unknown_query="allow")
    assert load_description(spec, Files(tmp_path)).check(request(path="/a", query="x=1")) == ()
    for name in ("../api.json", "/etc/passwd", "openapi/none.json", "openapi"):
        with pytest.raises(Unusable):
            load_description(OpenAPISpec(file=name), Files(tmp_path))


WHOLE = json.dumps(read_yaml(PAYMENTS.read_text(encoding="utf-8")))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.binary())
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    problems(data)
    problems(b"openapi: 3.1.0\npaths:\n  /a:\n    " + data)
    problems(b'{"openapi": "3.0.0", "paths": {"/a": ' + data + b"}}")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_damage_to_a_description_raises_anything_else(data: st.DataObject) -> None:
    """Any value of a sound description, replaced by any other or by another one of it."""
    whole = json.loads(WHOLE)
    places: list[tuple[Any, Any]] = []
    waiting = [whole]
    while waiting:
        node = waiting.pop()
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                waiting.append(node[key])
    replacement = data.draw(
        JSON | st.sampled_from([node[key] for node, key in places]).map(lambda value: json.loads(json.dumps(value)))
    )
    node, key = data.draw(st.sampled_from(places))
    node[key] = replacement
    problems(json.dumps(whole))


KEYWORDS = [
    "type",
    "properties",
    "items",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "enum",
    "const",
    "required",
    "minimum",
    "maxLength",
    "pattern",
    "format",
    "$ref",
    "if",
    "then",
    "additionalProperties",
    "unevaluatedProperties",
    "prefixItems",
    "patternProperties",
    "readOnly",
    "discriminator",
    "nullable",
    "multipleOf",
    "uniqueItems",
    "contains",
    "dependentSchemas",
    "propertyNames",
    "$defs",
]
LEAVES = st.sampled_from(
    [
        "string",
        "object",
        "array",
        "integer",
        "a",
        "#/components/schemas/A",
        "#/components/schemas/B",
        0,
        1,
        2.5,
        10**30,
        True,
        False,
        None,
        "date",
        "^a",
    ]
)
SCHEMAS = st.recursive(
    st.booleans() | st.dictionaries(st.sampled_from(KEYWORDS), LEAVES, max_size=2),
    lambda children: st.dictionaries(
        st.sampled_from(KEYWORDS),
        LEAVES
        | children
        | st.lists(children | LEAVES, max_size=3)
        | st.dictionaries(st.sampled_from("ab"), children, max_size=2),
        max_size=4,
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(SCHEMAS, SCHEMAS, st.sampled_from(["3.0.3", "3.1.0"]), JSON)
def test_no_schema_raises_anything_else(one: Any, other: Any, version: str, value: Any) -> None:
    whole = body({"$ref": "#/components/schemas/A"}, version)
    whole["components"] = {"schemas": {"A": one, "B": other}}
    try:
        description = compile_description(json.dumps(whole).encode(), "api.json")
    except InvalidDescription:
        return
    assert len(description.check(request("POST", "/a", json=value))) <= 20
