"""masking.yaml: which values of which responses are masked, and how.

A mask that names something this version cannot mask is an error here, at configuration: nothing that somebody asked
to hide is passed over in silence.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from jsonpath_rfc9535 import JSONPathError
from jsonpath_rfc9535 import compile as compile_path
from pydantic import BeforeValidator, Field

from headgate.bundled import Files
from headgate.errors import InvalidRules
from headgate.masking.content import readable
from headgate.masking.entities import ENTITIES, FRAMING
from headgate.masking.plan import Operator, Plan, Wanted, merge
from headgate.match import Matcher, MatchSpec, Section, Text, When, compile_match

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+\Z")
DEFAULT = "default"
FIELD_FORMS = "a JSONPath that begins with `$`, `header:NAME`, `query:NAME`"

Location = tuple[str | int, ...]
Problems = list[tuple[Location, str]]


def _operator(value: Any) -> Operator:
    """An operator by name; an unquoted `null` is one, too, though YAML reads it as nothing."""
    name = "null" if value is None else value
    if name not in list(Operator):
        accepted = ", ".join(f"`{operator}`" for operator in Operator)
        raise ValueError(f"`{str(value)[:20]}` is not an operator; accepted: {accepted}")
    return Operator(name)


class MaskSpec(Section):
    """One mask: what it is about, which fields and entities it hides, and what becomes of them."""

    id: Text
    match: MatchSpec
    when: When | None = None
    fields: tuple[Text, ...] = ()
    detect: tuple[Text, ...] = ()
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.4
    operators: Annotated[
        dict[str, Annotated[Operator, BeforeValidator(_operator, json_schema_input_type=Operator | None)]],
        Field(alias="as", default_factory=dict),
    ]
    pass_types: tuple[Text, ...] = ()


class MaskingFile(Section):
    """masking.yaml as a whole."""

    masks: tuple[MaskSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class Mask:
    id: str
    matcher: Matcher
    plan: Plan


@dataclass(frozen=True)
class MaskingRules:
    """All masks of a bundle, compiled."""

    masks: tuple[Mask, ...] = ()

    @cached_property
    def everything(self) -> Plan:
        """What is due when every mask applies."""
        return merge(tuple(mask.plan for mask in self.masks))


def compile_masking(file: MaskingFile, files: Files, targets: frozenset[str]) -> MaskingRules:  # noqa: ARG001 (a key file will stand beside it)
    """InvalidRules tells every problem, each with its path in the document. `files` are those that it may name."""
    problems: Problems = []
    masks = [_mask(spec, ("masks", at), targets, problems) for at, spec in enumerate(file.masks)]
    known: set[str] = set()
    for at, spec in enumerate(file.masks):
        if spec.id in known:
            problems.append(
                (("masks", at, "id"), f"`{spec.id[:80]}` is the id of an earlier mask; accepted: a new one")
            )
        known.add(spec.id)
    if problems:
        raise InvalidRules(problems)
    return MaskingRules(tuple(masks))


def _mask(spec: MaskSpec, where: Location, targets: frozenset[str], problems: Problems) -> Mask:
    problems += [((*where, "match", *place), what) for place, what in spec.match.unknown_targets(targets)]
    problems += [((*where, "when"), what) for _, what in spec.match.lacking_params(spec.when)]
    if not (spec.fields or spec.detect):
        problems.append((where, "the mask hides nothing; accepted: at least one of `fields` and `detect`"))
    problems += [((*where, *place), text) for place, text in _misnamed(spec)]
    return Mask(spec.id, compile_match(spec.match, widen=True, when=spec.when), _plan(spec))


def _misnamed(spec: MaskSpec) -> Iterator[tuple[Location, str]]:
    for at, field in enumerate(spec.fields):
        if problem := _field_problem(field):
            yield ("fields", at), problem
    for at, entity in enumerate(spec.detect):
        if entity not in ENTITIES:
            yield ("detect", at), f"`{entity[:40]}` cannot be detected; accepted: {_listing(ENTITIES)}"
    for name in spec.operators:
        if name not in {DEFAULT, *spec.detect}:
            yield (
                ("as", name),
                f"`{name[:40]}` is not detected by this mask; accepted: {_listing({DEFAULT, *spec.detect})}",
            )
    for at, kind in enumerate(spec.pass_types):
        if not _MEDIA_TYPE.match(kind):
            yield ("pass_types", at), f"`{kind[:40]}` is not a content type; accepted: lower case such as `image/png`"
        elif readable(kind):
            yield (
                ("pass_types", at),
                f"`{kind[:40]}` is read and masked; accepted: others, such as `image/png`",
            )


def _listing(names: set[str] | frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _field_problem(field: str) -> str | None:
    form, _, name = field.partition(":")
    if field.startswith("$"):
        try:
            compile_path(field)
        except JSONPathError:
            return f"`{field[:80]}` is not a JSONPath; accepted: RFC 9535, such as `$.customer.name` or `$..ssn`"
    elif form not in ("header", "query"):
        return f"`{field[:80]}` is not a field that can be masked; accepted: {FIELD_FORMS}"
    elif not name or (form == "header" and not _TOKEN.match(name)):
        return f"`{field[:80]}` lacks a name; accepted: {FIELD_FORMS}"
    elif form == "header" and name.lower() in FRAMING:
        return f"`{field[:80]}` tells how to read the message; accepted: headers that hold a value"
    return None


def _plan(spec: MaskSpec) -> Plan:
    default = spec.operators.get(DEFAULT, Operator.REDACT)
    named = [field.partition(":") for field in spec.fields if not field.startswith("$")]
    return Plan(
        paths=tuple((field, default) for field in spec.fields if field.startswith("$")),
        headers=tuple((name.lower(), default) for form, _, name in named if form == "header"),
        query=tuple((name, default) for form, _, name in named if form == "query"),
        detect=tuple(Wanted(entity, spec.min_score, spec.operators.get(entity, default)) for entity in spec.detect),
        pass_types=frozenset(spec.pass_types),
    )
