"""Who calls, for a request to be explained: somebody written down, a token judged as live, nobody, or what it shows."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headgate.cli.asked import contents, read_case
from headgate.cli.tokenkeys import provider_keys

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.identity.hygiene import Clean
    from headgate.model import Principal, Target
    from headgate.policy.cases import PrincipalCase

CASE = "a file, or a mapping such as `{id: ana, kind: human, groups: [support], environment: prod}`"


@dataclass(frozen=True, slots=True)
class Refused:
    """What the caller gets before policy is asked; `meaning` is for operators."""

    status: int
    kind: str
    reason: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody, and what has to be said of how that is known."""

    principal: "Principal"
    notes: tuple[str, ...] = ()


def refused(status: int, kind: str, reason: str) -> Refused:
    """With the meaning of a reason of identity."""
    from headgate.identity.reasons import Malformed, Reason

    meanings = {one.value: one.meaning for one in (*Reason, *Malformed)}
    return Refused(status, kind, reason, meanings.get(reason, ""))


def unauthenticated(reason: str) -> Refused:
    return refused(401, "unauthenticated", reason)


def written(text: str) -> "PrincipalCase":
    """What `--principal` says, or the file that it names."""
    from headgate.policy.cases import PrincipalCase

    is_file = not text.lstrip().startswith("{") and os.path.isfile(text)
    data, name = (contents(Path(text)), text) if is_file else (text.encode("utf-8", "surrogatepass"), "--principal")
    return read_case(data, name, PrincipalCase, CASE)


def anonymous(bundle: "Bundle") -> Known | Refused:
    from headgate.identity.callers import ANONYMOUS
    from headgate.identity.reasons import Reason

    return Known(ANONYMOUS) if bundle.identity.anonymous else unauthenticated(Reason.NO_TOKEN.value)


def token_text(given: str) -> str:
    """What `--token` says, or the file or standard input that it names."""
    text = given
    if given == "-":
        text = sys.stdin.read()
    elif given.startswith("@"):
        text = contents(Path(given[1:])).decode("utf-8", "replace")
    if not text.strip():
        raise click.UsageError("there is no token; accepted: a token, `@FILE`, or `-` and one on standard input")
    return text.strip()


def of_token(text: str, bundle: "Bundle", state: Path, now: float) -> Known | Refused:
    """Whom a token proves, by the checks that judge traffic."""
    from headgate.identity.inspection import inspect
    from headgate.identity.reasons import Reason
    from headgate.identity.store import IdentityStore

    store = IdentityStore(state)
    revocations = store.latest() if store.path.exists() else None
    found = inspect(text, bundle.identity, lambda provider, kid: provider_keys(provider, kid, state), now, revocations)
    if found.reason is not None:
        return unauthenticated(found.reason.value)
    if found.workload or found.principal is None:
        return unauthenticated(Reason.WORKLOAD_ONLY.value)
    notes = ("the token counts only with a proof of the key that it is bound to",) if found.needs_proof else ()
    return Known(found.principal, notes)


def shown(clean: "Clean", bundle: "Bundle", state: Path, now: float) -> Known | Refused:
    """Whom the request itself proves, as to a reverse proxy; certificates are none of it."""
    from headgate.identity.credentials import presented
    from headgate.identity.hygiene import Mode
    from headgate.identity.reasons import Reason, Rejected

    found = presented(Mode.REVERSE, clean, bundle.identity)
    if isinstance(found, Rejected):
        return unauthenticated(found.reason.value)
    if not found.tokens:
        return anonymous(bundle)
    if len(found.tokens) > 1:
        return unauthenticated(Reason.TWO_TOKENS.value)
    return of_token(found.tokens[0].text, bundle, state, now)


def case_of(case: "PrincipalCase", target: "Target | None", now: float) -> Known:
    return Known(case.principal(target, now))
