"""masking.yaml: which values of which responses are masked, and how.

A mask that names something this version cannot mask is an error here, at configuration: nothing that somebody asked
to hide is passed over in silence.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

from jsonpath_rfc9535 import JSONPathError
from jsonpath_rfc9535 import compile as compile_path
from pydantic import BeforeValidator, Field

from headgate.bundled import Files, Unusable
from headgate.errors import InvalidRules
from headgate.masking.content import LINES, readable
from headgate.masking.detection.custom import read_recognizers
from headgate.masking.entities import ENTITIES, FRAMING, SECRET
from headgate.masking.plan import KEYED, LANGUAGE_MODEL, Named, Operator, Plan, Profile, Wanted, merge
from headgate.match import Facts, Matcher, MatchSpec, Section, Text, When, compile_match
from headgate.secret import Reference

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+\Z")
DEFAULT = "default"
FIELD_FORMS = "a JSONPath that begins with `$`, `header:NAME`, `query:NAME`, `column:NAME`, `form:NAME`"
ENCODED = re.compile(r"\s*\|\s*base64\Z")
DECODED = re.compile(r"\|\s*(\w+)\s*\Z")
STOCK_SCORE = 0.4
"""What `profile: stock` lets count if `min_score` says nothing: that of a value whose name speaks for it."""

OF_THE_REQUEST = frozenset({"method", "host", "path", "query", "target"})
"""Conditions on what every caller who asks for the same thing has in common."""

_DOMAIN = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*\Z")

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
    except_: Annotated[MatchSpec | None, Field(alias="except")] = None
    fields: tuple[Text, ...] = ()
    detect: tuple[Text, ...] = ()
    profile: Profile = Profile.API
    min_score: Annotated[float, Field(ge=0, le=1)] | None = None
    operators: Annotated[
        dict[str, Annotated[Operator, BeforeValidator(_operator, json_schema_input_type=Operator | None)]],
        Field(alias="as", default_factory=dict),
    ]
    keys: bool = False
    request: bool = False
    pass_types: tuple[Text, ...] = ()
    streams: Literal["mask", "withhold"] = "mask"


class MaskingFile(Section):
    """masking.yaml as a whole."""

    masks: tuple[MaskSpec, ...] = ()
    recognizers: Text | None = None
    internal_domains: tuple[Text, ...] = ()
    token_key: Reference | None = None


@dataclass(frozen=True, slots=True)
class Mask:
    """`exempt` is whom it does not hold for; `request`: what is sent upstream is masked, too."""

    id: str
    matcher: Matcher
    plan: Plan
    exempt: Matcher | None = None
    request: bool = False

    @property
    def by_caller(self) -> bool:
        """Whether one caller may get what another does not."""
        asked = {condition.location[:1] for condition in self.matcher.conditions}
        return self.exempt is not None or self.matcher.when is not None or not asked <= {(k,) for k in OF_THE_REQUEST}

    def possible(self, facts: Facts) -> bool:
        """Whether the mask could be due for somebody who asks for the same."""
        same = (c for c in self.matcher.conditions if c.location[:1] in {(key,) for key in OF_THE_REQUEST})
        return all(condition.test(facts) is not False for condition in same)


@dataclass(frozen=True)
class MaskingRules:
    """All masks of a bundle, compiled."""

    masks: tuple[Mask, ...] = ()
    token_key: str | None = None
    """Where the key of tokens and hashes is; None when no mask needs one."""

    @cached_property
    def needs_model(self) -> bool:
        """Whether an entity is asked for that only a language model finds."""
        return any(mask.plan.needs_model for mask in self.masks)

    @cached_property
    def by_caller(self) -> tuple[Mask, ...]:
        return tuple(mask for mask in self.masks if mask.by_caller)

    @cached_property
    def everything(self) -> Plan:
        """What is due when every mask applies."""
        return merge(tuple(mask.plan for mask in self.masks))


class _Shared(NamedTuple):
    """What all masks of a file have in common."""

    recognizers: str
    entities: frozenset[str]
    internal_domains: tuple[str, ...]
    keyed: bool


def compile_masking(file: MaskingFile, files: Files, targets: frozenset[str]) -> MaskingRules:
    """InvalidRules tells every problem, each with its path in the document. `files` are those that it may name."""
    problems: Problems = []
    shared = _shared(file, files, problems)
    masks = [_mask(spec, ("masks", at), targets, shared, problems) for at, spec in enumerate(file.masks)]
    known: set[str] = set()
    for at, spec in enumerate(file.masks):
        if spec.id in known:
            problems.append(
                (("masks", at, "id"), f"`{spec.id[:80]}` is the id of an earlier mask; accepted: a new one")
            )
        known.add(spec.id)
    if problems:
        raise InvalidRules(problems)
    return MaskingRules(tuple(masks), file.token_key if any(_keyed(spec) for spec in file.masks) else None)


def _shared(file: MaskingFile, files: Files, problems: Problems) -> _Shared:
    text, entities = "", frozenset[str]()
    if file.recognizers is not None:
        try:
            text, entities = read_recognizers(files.contents(file.recognizers))
        except Unusable as unusable:
            problems.append((("recognizers",), str(unusable)))
        except InvalidRules as invalid:
            name = file.recognizers[:80]
            problems += [(("recognizers",), f"`{name}`: {what}") for _, what in invalid.problems]
    for at, domain in enumerate(file.internal_domains):
        if not _DOMAIN.match(domain):
            what = f"`{domain[:80]}` is not a domain; accepted: lower case such as `corp.internal`"
            problems.append((("internal_domains", at), what))
    return _Shared(text, entities, file.internal_domains, file.token_key is not None)


def _keyed(spec: MaskSpec) -> bool:
    return not KEYED.isdisjoint(spec.operators.values())


def _mask(spec: MaskSpec, where: Location, targets: frozenset[str], shared: _Shared, problems: Problems) -> Mask:
    problems += [((*where, "match", *place), what) for place, what in spec.match.unknown_targets(targets)]
    problems += [((*where, "when"), what) for _, what in spec.match.lacking_params(spec.when)]
    if spec.except_ is not None:
        problems += [((*where, "except", *place), what) for place, what in spec.except_.unknown_targets(targets)]
        if not spec.except_.model_fields_set:
            problems.append(((*where, "except"), "`except: {}` is everybody; accepted: a condition, or no `except`"))
    if not (spec.detect or any(not ENCODED.search(field) for field in spec.fields)):
        problems.append((where, "the mask hides nothing; accepted: at least one of `fields` and `detect`"))
    problems += [((*where, *place), text) for place, text in (*_misnamed(spec, shared), *_contrary(spec, shared))]
    exempt = compile_match(spec.except_, widen=False) if spec.except_ is not None else None
    return Mask(
        spec.id, compile_match(spec.match, widen=True, when=spec.when), _plan(spec, shared), exempt, spec.request
    )


def _contrary(spec: MaskSpec, shared: _Shared) -> Iterator[tuple[Location, str]]:
    """What does not go together."""
    if spec.min_score is not None and spec.profile is Profile.API:
        yield ("min_score",), "`min_score` cuts what `profile: stock` finds; accepted: with that profile"
    if _keyed(spec) and not shared.keyed:
        yield ("as",), "`token` and `hash` need a key; accepted: with `token_key: env:NAME` beside `masks`"
    if not LANGUAGE_MODEL.isdisjoint(spec.detect) and spec.streams == "mask":
        named = _listing(LANGUAGE_MODEL & set(spec.detect))
        yield ("detect",), f"no stream can wait for a language model ({named}); accepted: with `streams: withhold`"


def _misnamed(spec: MaskSpec, shared: _Shared) -> Iterator[tuple[Location, str]]:
    known = ENTITIES | LANGUAGE_MODEL | shared.entities | {SECRET}
    for at, field in enumerate(spec.fields):
        if problem := _field_problem(field):
            yield ("fields", at), problem
    for at, entity in enumerate(spec.detect):
        if entity not in known:
            yield ("detect", at), f"`{entity[:40]}` cannot be detected; accepted: {_listing(known)}"
    for name in spec.operators:
        if name not in {DEFAULT, *spec.detect}:
            yield (
                ("as", name),
                f"`{name[:40]}` is not detected by this mask; accepted: {_listing({DEFAULT, *spec.detect})}",
            )
    for at, kind in enumerate(spec.pass_types):
        if not _MEDIA_TYPE.match(kind):
            yield ("pass_types", at), f"`{kind[:40]}` is not a content type; accepted: lower case such as `image/png`"
        elif readable(kind) and not _holds_no_paths(kind):
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
            compile_path(ENCODED.sub("", field))
        except JSONPathError:
            if (decoder := DECODED.search(field)) and decoder[1] != "base64":
                return f"`{decoder[1][:20]}` cannot be undone; accepted: `base64`"
            return f"`{field[:80]}` is not a JSONPath; accepted: RFC 9535, such as `$.customer.name` or `$..ssn`"
    elif form not in ("header", "query", "column", "form"):
        return f"`{field[:80]}` is not a field that can be masked; accepted: {FIELD_FORMS}"
    elif not name.strip() or (form == "header" and not _TOKEN.match(name)):
        return f"`{field[:80]}` lacks a name; accepted: {FIELD_FORMS}"
    elif name != name.strip():
        return f"`{field[:80]}` has blanks around its name, which no field has; accepted: `{form}:{name.strip()[:80]}`"
    elif form == "header" and name.lower() in FRAMING:
        return f"`{field[:80]}` tells how to read the message; accepted: headers that hold a value"
    return None


def _holds_no_paths(kind: str) -> bool:
    """Whether bodies of this type are read but have no members: those may pass over JSONPaths."""
    return not (kind.endswith("json") or "json" in kind or kind in LINES)


def _plan(spec: MaskSpec, shared: _Shared) -> Plan:
    default = spec.operators.get(DEFAULT, Operator.REDACT)
    paths = [field for field in spec.fields if field.startswith("$")]
    lowest = STOCK_SCORE if spec.min_score is None else spec.min_score
    min_score = lowest if spec.profile is Profile.STOCK else 0.0

    def named(form: str) -> Named:
        found = (field.partition(":") for field in spec.fields)
        return tuple((name, default) for given, _, name in found if given == form)

    return Plan(
        paths=tuple((path, default) for path in paths if not ENCODED.search(path)),
        encoded=tuple(ENCODED.sub("", path) for path in paths if ENCODED.search(path)),
        headers=tuple((name.lower(), operator) for name, operator in named("header")),
        query=named("query"),
        columns=named("column"),
        form=named("form"),
        detect=tuple(
            Wanted(entity, spec.operators.get(entity, default), spec.profile, min_score) for entity in spec.detect
        ),
        pass_types=frozenset(spec.pass_types),
        keys=spec.keys,
        recognizers=shared.recognizers if spec.detect else "",
        internal_domains=shared.internal_domains if spec.detect else (),
        streams=spec.streams == "mask",
    )
