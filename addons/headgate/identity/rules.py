"""identity.yaml: who is believed, what else has to hold, and what the upstream is told.

No two providers may claim the same tokens: which of them verifies one must not depend on their order.
"""

from collections.abc import Callable, Iterator
from typing import Literal

from headgate.bundled import Files
from headgate.errors import InvalidRules
from headgate.identity.assertion import ForwardSpec, compile_forward
from headgate.identity.dpop import SessionBindingSpec, compile_binding
from headgate.identity.peers import compile_trusted
from headgate.identity.presets import PRESETS
from headgate.identity.provider import NO_PROXIES, UNBOUND, IdentityRules, Provider
from headgate.identity.provider_rules import Problems, ProviderSpec, Where, compile_provider, names_of
from headgate.identity.releases import ReleasesSpec, compile_releases
from headgate.match import Section, Text, duration

__all__ = ["IdentityFile", "IdentityRules", "Provider", "compile_identity", "duration"]


class IdentityFile(Section):
    """identity.yaml as a whole."""

    providers: tuple[ProviderSpec, ...] = ()
    anonymous: Literal["refuse", "allow"] = "refuse"
    trusted_proxies: tuple[Text, ...] = ()
    releases: ReleasesSpec | None = None
    session_binding: SessionBindingSpec | None = None
    forward: ForwardSpec | None = None


def compile_identity(file: IdentityFile, files: Files) -> IdentityRules:
    """Compile `file`, and what it names among `files`; InvalidRules names everything that is wrong."""
    problems: Problems = [*_unique(file), *_useful(file)]
    providers: list[Provider] = []
    for index, spec in enumerate(file.providers):
        provider, found = compile_provider(spec, files, ("providers", index))
        problems += found
        providers += [provider] if provider else []
    releases = _part("releases", file.releases, lambda spec: compile_releases(spec, files), problems)
    trusted = _part("trusted_proxies", file.trusted_proxies, compile_trusted, problems)
    binding = _part("session_binding", file.session_binding, compile_binding, problems)
    forward = _part("forward", file.forward, compile_forward, problems)
    if problems:
        raise InvalidRules(problems)
    return IdentityRules(
        tuple(providers),
        file.anonymous == "allow",
        trusted or NO_PROXIES,
        releases,
        binding or UNBOUND,
        forward,
    )


def _part[Written, Compiled](
    key: str, written: Written | None, compiling: Callable[[Written], Compiled], problems: Problems
) -> Compiled | None:
    """What a block of the file makes, or None: it is not there, or its problems were added, each with its place."""
    try:
        return None if written is None else compiling(written)
    except InvalidRules as error:
        problems += [((key, *where), what) for where, what in error.problems]
        return None


def _useful(file: IdentityFile) -> Iterator[tuple[Where, str]]:
    """Settings that could have no effect, or none that anybody wants."""
    if file.anonymous == "refuse" and not any(spec.role == "principal" for spec in file.providers):
        yield ("providers",), "no provider says who calls, and anonymous callers are refused: nobody could call"
    for index, spec in enumerate(file.providers):
        if spec.preset == "forwarded-client-cert" and not file.trusted_proxies:
            yield (
                ("providers", index),
                "no peer is listed in `trusted_proxies`, so nobody would be believed",
            )


def _unique(file: IdentityFile) -> Iterator[tuple[Where, str]]:
    names: set[str] = set()
    claimed: dict[tuple[str, str, str], str] = {}
    for index, spec in enumerate(file.providers):
        if spec.name in names:
            yield ("providers", index, "name"), f"two providers have the name `{spec.name}`"
        names.add(spec.name)
        preset = PRESETS[spec.preset]
        if spec.preset == "forwarded-client-cert" and claimed.setdefault(("xfcc", "", ""), spec.name) != spec.name:
            yield ("providers", index), "two providers have the preset `forwarded-client-cert`; accepted: one"
        for name in names_of(spec):
            for place in preset.places:
                if claimed.setdefault((place, preset.named_by, name), spec.name) != spec.name:
                    key = "signers" if preset.named_by == "signer" else "issuer"
                    where = ("providers", index, key) if getattr(spec, key) else ("providers", index)
                    yield where, f"two providers have the {key} `{name[:80]}`"
                    break
