"""Secrets of this machine: named by reference, private to whoever runs this, and in no message."""

import os
from pathlib import Path

import pytest

from headgate.errors import HeadgateError
from headgate.secret import ACCEPTED, MAX_FILE, reference, resolve

SECRET = b"c4n4ry-of-the-secret"


def kept(folder: Path, content: bytes = SECRET, mode: int = 0o600) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / "secret.pem"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def refusal(text: str, base: Path, environ: dict[str, str] | None = None) -> str:
    """Why `text` cannot be resolved; never with the secret in it."""
    with pytest.raises(HeadgateError) as refused:
        resolve(text, environ or {}, base)
    message = str(refused.value)
    assert "c4n4ry" not in message
    assert "\n" not in message
    return message


def test_a_variable_of_the_environment_is_read(tmp_path: Path) -> None:
    assert resolve("env:SIGNING_KEY", {"SIGNING_KEY": SECRET.decode()}, tmp_path) == SECRET


def test_a_file_is_read_from_the_base_or_where_it_is(tmp_path: Path) -> None:
    path = kept(tmp_path / "keys")
    assert resolve("file:keys/secret.pem", {}, tmp_path) == SECRET
    assert resolve(f"file:{path}", {}, tmp_path / "elsewhere") == SECRET


@pytest.mark.parametrize("value", [None, "", "  \n"], ids=["unset", "empty", "blank"])
def test_a_variable_without_a_value_is_no_secret(tmp_path: Path, value: str | None) -> None:
    environ = {} if value is None else {"SIGNING_KEY": value}
    assert refusal("env:SIGNING_KEY", tmp_path, environ) == "secret `env:SIGNING_KEY` is not set"


def test_a_file_without_content_is_no_secret(tmp_path: Path) -> None:
    kept(tmp_path, b"\n")
    assert refusal("file:secret.pem", tmp_path) == "secret `file:secret.pem` is empty"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "env:",
        "file:",
        "env:NO-NAME",
        "env:1ST",
        "env:c4n4ry key",
        "env: SIGNING_KEY",
        "ENV:SIGNING_KEY",
        "vault:c4n4ry",
        "c4n4ry",
        "-----BEGIN PRIVATE KEY-----\nc4n4ry",
        "file:-----BEGIN PRIVATE KEY-----\nc4n4ry",
        "env:SIGNING_KEY\n",
        "file:a\x00b",
        "file:a`b",
    ],
)
def test_what_is_no_reference_is_refused_and_not_quoted(tmp_path: Path, text: str) -> None:
    """Somebody who puts the secret itself there must not find it in a log."""
    assert refusal(text, tmp_path) == f"not a reference to a secret; {ACCEPTED}"
    with pytest.raises(ValueError, match="not a reference"):
        reference(text)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    kept(tmp_path, mode=mode)
    expected = "others may read or replace secret `file:secret.pem`; accepted: a file with mode 0600 or 0400"
    assert refusal("file:secret.pem", tmp_path) == expected


def test_a_file_that_its_owner_cannot_write_is_fine(tmp_path: Path) -> None:
    kept(tmp_path, mode=0o400)
    assert resolve("file:secret.pem", {}, tmp_path) == SECRET


def test_a_file_that_others_can_replace_is_refused(tmp_path: Path) -> None:
    kept(tmp_path / "keys").parent.chmod(0o777)
    assert "others may read or replace" in refusal("file:keys/secret.pem", tmp_path)


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(tmp_path)
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert "belongs to another user" in refusal("file:secret.pem", tmp_path)


def test_a_link_counts_as_what_it_leads_to(tmp_path: Path) -> None:
    """Systems that mount secrets do so through links."""
    kept(tmp_path / "private")
    kept(tmp_path / "shared", mode=0o644)
    for name in ("private", "shared"):
        (tmp_path / f"{name}.pem").symlink_to(tmp_path / name / "secret.pem")
    assert resolve("file:private.pem", {}, tmp_path) == SECRET
    assert "others may read" in refusal("file:shared.pem", tmp_path)


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "is not a file" in refusal("file:pipe", tmp_path)
    for name in ("folder", "loop", "nothing", "nothing/at/all", "x" * 900):
        assert refusal(f"file:{name}", tmp_path).startswith(f"secret `file:{name}` cannot be read: ")


def test_a_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    kept(tmp_path, b"x" * MAX_FILE)
    assert len(resolve("file:secret.pem", {}, tmp_path)) == MAX_FILE
    kept(tmp_path, b"x" * (MAX_FILE + 1))
    assert refusal("file:secret.pem", tmp_path) == "secret `file:secret.pem` is longer than 64 KiB"
