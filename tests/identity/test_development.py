"""The development key: one for a state folder, readable by its owner only."""

import os
import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.identity.conftest import identity, verify

from headgate.errors import HeadgateError
from headgate.identity.development import DevelopmentKey
from headgate.identity.reasons import Reason, Rejected
from headgate.model import Principal, Workload

NOW = 1_700_000_000
PEM = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def key_file(state: Path) -> Path:
    return state / "keys" / "development.pem"


def kid(key: DevelopmentKey) -> str | None:
    return key.keys.keys[0].kid


def opened_kid(state: Path) -> str | None:
    return kid(DevelopmentKey.open(state))


def test_the_key_is_made_once_and_found_again(tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"
    first = opened_kid(state)
    assert opened_kid(state) == first
    assert stat.S_IMODE(key_file(state).stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file(state).parent.stat().st_mode) == 0o700
    assert [path.name for path in key_file(state).parent.iterdir()] == ["development.pem"]


def test_processes_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("forkserver")) as pool:
        assert len(set(pool.map(opened_kid, [tmp_path] * 8))) == 1


def test_a_minted_token_is_accepted_by_the_development_provider(tmp_path: Path) -> None:
    key = DevelopmentKey.open(tmp_path)
    (provider,) = identity(tmp_path, {"name": "dev", "preset": "development", "audiences": ["headgate-dev"]}).providers
    claims = {"sub": "ana", "aud": "headgate-dev", "kind": "service", "groups": ["support"], "env": "dev"}

    def ask(**changes: Any) -> Principal | Rejected:
        return verify(key.mint({**claims, **changes}, 60, now=NOW), provider, key.keys, NOW)

    caller = ask()
    assert isinstance(caller, Principal)
    assert (caller.id, caller.kind, caller.groups, caller.environments) == ("ana", "service", {"support"}, {"dev"})
    described = ask(workload={"name": "billing", "commit": "c1", "pod": "p1"}, person="p-7", sid="s1", scope="a b")
    assert isinstance(described, Principal)
    assert described.workload == Workload("billing", commit="c1", pod="p1")
    assert (described.person, described.session.id, described.session.scopes) == ("p-7", "s1", {"a", "b"})
    assert ask(aud="other") == Rejected(Reason.AUDIENCE_MISMATCH)
    assert ask(kind="root") == Rejected(Reason.KIND_UNKNOWN)
    too_long = verify(key.mint(claims, 31 * 86400, now=NOW), provider, key.keys, NOW)
    assert too_long == Rejected(Reason.LIFETIME_TOO_LONG)


def test_a_minted_token_names_its_issuer_and_times_itself(tmp_path: Path, issuer: Any) -> None:
    key = DevelopmentKey.open(tmp_path)
    minted = key.mint({"iss": issuer.name, "exp": NOW + 10**6, "sub": "ana"}, 60, now=NOW)
    provider = issuer.provider(tmp_path)
    assert verify(minted, provider, key.keys, NOW) == Rejected(Reason.ISSUER_MISMATCH)


def write(state: Path, content: bytes, mode: int = 0o600) -> Path:
    path = key_file(state)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def good() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(*PEM)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path, good(), mode)
    with pytest.raises(HeadgateError, match=f"others may read or replace `{path}`"):
        DevelopmentKey.open(tmp_path)


def test_a_key_that_others_can_replace_is_refused(tmp_path: Path) -> None:
    write(tmp_path, good()).parent.chmod(0o777)
    with pytest.raises(HeadgateError, match="others may read or replace"):
        DevelopmentKey.open(tmp_path)


def test_a_key_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, good())
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with pytest.raises(HeadgateError, match="belongs to another user"):
        DevelopmentKey.open(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        b"\xff" * 5000,
        ec.generate_private_key(ec.SECP384R1()).private_bytes(*PEM),
        rsa.generate_private_key(65537, 2048).private_bytes(*PEM),
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ],
    ids=["empty", "garbage", "bytes", "another curve", "rsa", "public"],
)
def test_what_is_no_such_key_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, content)
    with pytest.raises(HeadgateError, match="does not hold an EC P-256 private key"):
        DevelopmentKey.open(tmp_path)
    assert path.read_bytes() == content


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    key_file(tmp_path).parent.mkdir(mode=0o700)
    (tmp_path / "elsewhere.pem").write_bytes(good())
    (tmp_path / "elsewhere.pem").chmod(0o600)
    key_file(tmp_path).symlink_to(tmp_path / "elsewhere.pem")
    with pytest.raises(HeadgateError, match="cannot be used"):
        DevelopmentKey.open(tmp_path)


def test_a_folder_or_pipe_in_its_place_is_refused(tmp_path: Path) -> None:
    key_file(tmp_path).mkdir(parents=True, mode=0o700)
    with pytest.raises(HeadgateError):
        DevelopmentKey.open(tmp_path)
    key_file(tmp_path).rmdir()
    os.mkfifo(key_file(tmp_path), 0o600)
    with pytest.raises(HeadgateError, match="is not a file"):
        DevelopmentKey.open(tmp_path)


def test_a_state_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(HeadgateError, match=r"the development key `.*` cannot be used: "):
        DevelopmentKey.open(tmp_path / "state")


def test_the_private_key_is_not_in_what_is_printed(tmp_path: Path) -> None:
    assert "private" not in repr(DevelopmentKey.open(tmp_path))
