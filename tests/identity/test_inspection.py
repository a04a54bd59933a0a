"""Why a token is or is not accepted, step by step, by the same checks that judge traffic."""

from pathlib import Path
from typing import Any

from headgate.identity.inspection import FACTS, Inspection, inspect
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.tokens import JUDGING, READING, verify
from headgate.model import Principal


def inspected(issuer: Any, folder: Path, text: str) -> Inspection:
    return inspect(text, issuer.rules(folder, max_lifetime="1h"), lambda _: issuer.keys, issuer.now)


def test_an_accepted_token_passes_every_step(issuer: Any, tmp_path: Path) -> None:
    found = inspected(issuer, tmp_path, issuer.token())
    assert found.reason is None
    assert (found.provider, found.not_reached) == ("corp-sso", ())
    assert isinstance(found.principal, Principal)
    assert [step.name for step in found.steps] == [
        *(name for name, _ in READING), "provider", *(name for name, _ in JUDGING),
    ]  # fmt: skip


def test_the_first_failed_step_ends_it(issuer: Any, tmp_path: Path) -> None:
    found = inspected(issuer, tmp_path, issuer.token(aud="web"))
    assert found.reason is Reason.AUDIENCE_MISMATCH
    assert (found.steps[-1].name, found.steps[-1].found, found.steps[-1].required) == (
        "audience",
        "web",
        "one of payments",
    )
    assert found.not_reached == ("expiry", "not before", "issued at", "lifetime", "caller")
    assert found.principal is None


def test_times_are_shown_for_people(issuer: Any, tmp_path: Path) -> None:
    found = inspected(issuer, tmp_path, issuer.token(exp=issuer.now - 100))
    assert found.steps[-1].found == "2023-11-14T22:11:40+00:00"
    assert found.steps[-1].required == "after 2023-11-14T22:13:20+00:00, 30 s of skew granted"
    assert inspected(issuer, tmp_path, issuer.token(exp="soon")).steps[-1].found == "soon"


def test_an_unknown_issuer_and_a_broken_token_are_told_apart(issuer: Any, tmp_path: Path) -> None:
    unknown = inspected(issuer, tmp_path, issuer.token(iss="https://evil.example"))
    assert (unknown.steps[-1].name, unknown.reason) == ("provider", Reason.ISSUER_UNKNOWN)
    assert unknown.steps[-1].required == "https://sso.example.com"
    broken = inspected(issuer, tmp_path, "e30.e30")
    assert (broken.steps[-1].name, broken.reason) == ("form", Reason.TOKEN_SEGMENTS)


def test_missing_keys_are_named(issuer: Any, tmp_path: Path) -> None:
    rules = issuer.rules(tmp_path)
    found = inspect(issuer.token(), rules, lambda _: Rejected(Reason.KEYS_UNAVAILABLE), issuer.now)
    assert (found.reason, found.steps[-1].found, found.steps[-1].required) == (Reason.KEYS_UNAVAILABLE, "ec", "no keys")


def test_it_never_disagrees_with_the_verifier(token_case: Any, issuer: Any, tmp_path: Path) -> None:
    """Where the table changes only header and claims: the rows the provider stays the same for."""
    if {"text", "payload", "head", "provider", "signed_as", "text_claims"} & token_case.keys():
        return
    changes = {name: value for name, value in token_case.get("claims", {}).items() if not isinstance(value, str)}
    header = {name: value for name, value in token_case.get("header", {}).items() if value is not None}
    rules = issuer.rules(tmp_path)
    token = issuer.token(header, **changes)
    found = inspect(token, rules, lambda _: issuer.keys, issuer.now)
    judged = verify(token, rules.providers[0], issuer.keys, issuer.now)
    if found.reason is Reason.ISSUER_UNKNOWN:
        return
    assert found.reason == (judged.reason if isinstance(judged, Rejected) else None)
    assert found.principal == (judged if isinstance(judged, Principal) else None)


def test_no_step_shows_the_signature(issuer: Any, tmp_path: Path) -> None:
    token = issuer.token()
    found = inspected(issuer, tmp_path, token)
    assert token.rpartition(".")[2] not in repr(found)
    assert set(FACTS) < {name for name, _ in JUDGING}
