"""Schemas as requests are held to them: no undeclared member, no read-only one, at any depth.

JSON Schema lets an object have members that nobody declared, which is how a field that only administrators may set
gets through. So an object with declared `properties` is closed unless its schema says otherwise
(`additionalProperties`, `unevaluatedProperties`): at the outermost schema of each value, after all that `allOf` and
its kin declare. Closing must never let through what the schema itself refuses; so what stands below `not`, `if` and
`contains` stays as it is, and `oneOf` counts its matches by the open form.

A schema may be needed in several forms at once:

RAW      as written: where a failure below could let more through
PLAIN    read-only members refused, nothing closed
BESIDE   part of a value that is closed further out; the members below it are closed
CLOSED   a whole value: closed, and so are the members below it
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from headgate.policy.openapi.faults import DescriptionFault
from headgate.policy.openapi.parts import Child, Parts
from headgate.policy.openapi.schemas import Schema, Schemas

MAX_DEFINITIONS = 10_000
"""Schemas that others refer to, in each form once: what is compiled from them is walked recursively."""

READ_ONLY: dict[str, Any] = {"enum": []}
"""Nothing satisfies it; an empty `enum` is refused in a description, so that this one tells what is meant."""

DECLARED = "x-declared"
"""Beside `unevaluatedProperties`: the names that some part of the schema declares, whether or not it applies."""

JsonSchema = dict[str, Any] | bool


class Form(Enum):
    RAW = 1
    PLAIN = 2
    BESIDE = 3
    CLOSED = 4


@dataclass(frozen=True, slots=True)
class _Context:
    """How a schema is wanted. `exempt` are required members that are read-only; `shared` are members that several
    schemas of the same value declare, and that are closed for all of them together; `bare` says that no member of this
    value is declared for certain."""

    form: Form
    exempt: frozenset[str] = frozenset()
    shared: frozenset[Child] = frozenset()
    bare: bool = False

    @property
    def closes(self) -> bool:
        return self.form in (Form.BESIDE, Form.CLOSED)


_RAW = _Context(Form.RAW)


class Closing:
    """Writes schemas in the form that requests are held to, in the words of JSON Schema 2020-12."""

    def __init__(self, schemas: Schemas) -> None:
        self.definitions: dict[str, JsonSchema] = {}
        self.faults: list[DescriptionFault] = []
        self._schemas = schemas
        self._names: dict[tuple[str, _Context], str] = {}
        self._waiting: list[tuple[str, str, _Context]] = []
        self._parts = Parts(schemas)

    def root(self, where: str, *, closed: bool) -> dict[str, Any]:
        """The schema at `where` for the whole of a value; what it refers to goes to `definitions`, or to `faults`."""
        root = self._whole(where, Form.CLOSED if closed else Form.PLAIN)
        while self._waiting:
            name, place, context = self._waiting.pop()
            try:
                self.definitions[name] = self._write(place, context)
            except DescriptionFault as fault:
                self.faults.append(fault)
        if len(self.definitions) > MAX_DEFINITIONS:
            raise DescriptionFault(where, f"leads to over {MAX_DEFINITIONS:,} schemas; accepted: fewer")
        return {"allOf": [root]} if isinstance(root, bool) else root

    def _refer(self, where: str, context: _Context) -> dict[str, Any]:
        name = self._names.get((where, context))
        if name is None:
            name = self._names[where, context] = f"s{len(self._names)}"
            if len(self._names) <= MAX_DEFINITIONS + 1:
                self._waiting.append((name, where, context))
        return {"$ref": f"#/$defs/{name}"}

    def _whole(self, where: str, form: Form) -> JsonSchema:
        if form is Form.RAW:
            return self._write(where, _RAW)
        if self._schemas[where].parts:
            return self._refer(where, _Context(form, shared=frozenset(self._parts.shared(where))))
        certain = self._parts.certain(where)
        exempt = self._parts.read_only_names(certain)
        if form is Form.PLAIN:
            return self._write(where, _Context(form, exempt))
        bare = not any(schema.named.get("properties") for schema in certain)
        return self._write(where, _Context(form, exempt, frozenset(self._parts.shared(where)), bare))

    def _write(self, where: str, context: _Context) -> JsonSchema:
        schema = self._schemas[where]
        if schema.always is not None:
            return schema.always
        if schema.reference is not None and schema.is_bare_reference:
            return self._refer(schema.reference, context)
        out = dict(schema.asserts)
        if context.form is not Form.RAW and "required" in out:
            out["required"] = [name for name in out["required"] if name not in context.exempt]
        self._write_children(schema, context, out)
        self._write_conditions(schema, out)
        self._write_beside(schema, context, out)
        if context.form is not Form.CLOSED:
            return out
        self._close(schema, context, out)
        beside = list(self._shared_judged(schema.where))
        return {"allOf": [out, *beside]} if beside else out

    def _write_children(self, schema: Schema, context: _Context, out: dict[str, Any]) -> None:
        below = Form.CLOSED if context.closes else context.form
        for child, where in schema.children():
            if context.form is not Form.RAW and child[0] == "properties" and self._parts.is_read_only(where):
                written: JsonSchema = READ_ONLY
            else:
                written = self._whole(where, Form.PLAIN if child in context.shared else below)
            if child[0] == "prefixItems":
                out.setdefault("prefixItems", []).append(written)
            elif len(child) == 1:
                out[child[0]] = written
            else:
                out.setdefault(child[0], {})[child[1]] = written

    def _write_conditions(self, schema: Schema, out: dict[str, Any]) -> None:
        for keyword in ("not", "if", "contains", "propertyNames"):
            if keyword in schema.single:
                out[keyword] = self._whole(schema.single[keyword], Form.RAW)

    def _write_beside(self, schema: Schema, context: _Context, out: dict[str, Any]) -> None:
        inner = replace(context, form=Form.BESIDE) if context.form is Form.CLOSED else context
        if schema.reference is not None:
            out["$ref"] = self._refer(schema.reference, self._joined(schema.reference, inner))["$ref"]
        if "allOf" in schema.listed:
            out["allOf"] = [self._part(where, inner) for where in schema.listed["allOf"]]
        for keyword in ("then", "else"):
            if keyword in schema.single:
                out[keyword] = self._part(schema.single[keyword], inner)
        if "dependentSchemas" in schema.named:
            parts = schema.named["dependentSchemas"]
            out["dependentSchemas"] = {name: self._part(where, inner) for name, where in parts.items()}
        if "anyOf" in schema.listed:
            out["anyOf"] = self._choices(schema, "anyOf", inner)
        if "oneOf" in schema.listed:
            self._write_one_of(schema, inner, out)

    def _write_one_of(self, schema: Schema, inner: _Context, out: dict[str, Any]) -> None:
        """Exactly one of the open forms must hold, and that one in its closed form too."""
        choices = schema.listed["oneOf"]
        if not inner.closes or not any(self._parts.closes_below(where) for where in choices):
            out["oneOf"] = self._choices(schema, "oneOf", inner)
            return
        plain = replace(inner, form=Form.PLAIN, shared=frozenset(), bare=False)
        out.setdefault("allOf", []).append({"oneOf": [self._part(where, plain) for where in choices]})
        out["allOf"].append({"anyOf": self._choices(schema, "oneOf", inner)})

    def _choices(self, schema: Schema, keyword: str, inner: _Context) -> list[JsonSchema]:
        """The choices; one that declares no members where another does means an object of any members."""
        places = schema.listed[keyword]
        declaring = [self._parts.declares(where) for where in places]
        parts = [self._part(where, inner) for where in places]
        if not (inner.closes and inner.bare and any(declaring)) or schema.parts:
            return parts
        free = zip(parts, declaring, strict=True)
        return [part if declares else {"allOf": [part], "additionalProperties": True} for part, declares in free]

    def _part(self, where: str, inner: _Context) -> JsonSchema:
        return self._write(where, self._joined(where, inner))

    def _joined(self, where: str, inner: _Context) -> _Context:
        if inner.form is Form.RAW:
            return inner
        names = self._parts.read_only_names(self._parts.certain(where))
        return inner if names <= inner.exempt else replace(inner, exempt=inner.exempt | names)

    def _close(self, schema: Schema, context: _Context, out: dict[str, Any]) -> None:
        for values, heir in schema.heirs:
            chosen = {"properties": {schema.discriminator: {"enum": list(values)}}, "required": [schema.discriminator]}
            then = self._part(heir, replace(context, form=Form.BESIDE))
            out.setdefault("allOf", []).append({"if": chosen, "then": then})
        if "additionalProperties" in out or "unevaluatedProperties" in out or not self._parts.declares(schema.where):
            return
        parts = {"$ref", "allOf", "anyOf", "oneOf", "then", "else", "dependentSchemas"} & out.keys()
        out["unevaluatedProperties" if parts else "additionalProperties"] = False
        if parts and (names := self._parts.declared(schema.where)) is not None:
            out[DECLARED] = names

    def _shared_judged(self, where: str) -> Iterator[JsonSchema]:
        """Schemas for what several parts of a value describe. They stand beside the closed schema, not in it: what they
        judge is not declared thereby."""
        for child, places in sorted(self._parts.shared(where).items()):
            together = self._whole(places[0] if len(places) == 1 else self._schemas.either(places), Form.CLOSED)
            if child[0] == "prefixItems":
                yield {"prefixItems": [*([True] * int(child[1])), together]}
            else:
                yield {child[0]: together if len(child) == 1 else {child[1]: together}}
