"""The rules in force: the last good bundle, replaced whole once a change of its folder has come to rest."""

import asyncio
import json
import logging
import os
import shutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from headgate.bundle.activation import Demands
from headgate.bundle.active import ActiveBundle
from headgate.bundle.admission import Admission
from headgate.bundle.folder import Folder, Signature
from headgate.bundle.load import Bundle, load_bundle
from headgate.bundle.store import BundleStore
from headgate.errors import BundleError, HeadgateError

FILES = {
    "bundle.yaml": "name: n\nversion: 1.0.0\n",
    "identity.yaml": "providers: [{name: dev, preset: development, audiences: [a]}]\n",
    "targets.yaml": "targets: []\n",
    "policy.yaml": "rules: []\n",
    "masking.yaml": "masks: []\n",
}
KEY = {
    "kty": "EC",
    "crv": "P-256",
    "kid": "a",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}  # RFC 7515, appendix A.3.1
INTERVAL = 0.03
BROKEN = "rules: [\n"


def rule(name: str) -> str:
    return f"rules: [{{id: {name}, effect: deny, match: {{}}}}]\n"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def made(
    rules: Path,
    load: Callable[[Path], Bundle] = load_bundle,
    prepare: Callable[[Bundle], None] = lambda _: None,
    demands: Demands | None = None,
) -> ActiveBundle:
    """What a proxy with this folder has, and with the state beside it."""
    store = BundleStore(rules.parent / "state")
    return ActiveBundle(rules, Admission(store, demands or Demands(), prepare, lambda: 1_700_000_000.0, "proxy"), load)


def ids(bundle: Bundle | None) -> list[str]:
    return [rule.ref.id for rule in bundle.policy.rules] if bundle else []


def following(active: ActiveBundle, scenario: Callable[[list[Bundle]], Awaitable[None]]) -> None:
    """Run `scenario` while `active` follows its folder; it gets the bundles that came into force meanwhile."""

    async def both() -> None:
        changes: list[Bundle] = []
        task = asyncio.create_task(active.follow(INTERVAL, changes.append))
        try:
            async with asyncio.timeout(20):
                await scenario(changes)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    active.load_now()
    asyncio.run(both())


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for are plain attributes
        await asyncio.sleep(INTERVAL / 3)


def test_before_the_first_load_nothing_is_in_force(rules: Path) -> None:
    assert made(rules).current is None


def test_rules_that_cannot_be_used_at_start_are_an_error(rules: Path) -> None:
    (rules / "policy.yaml").write_text(BROKEN)
    active = made(rules)
    with pytest.raises(BundleError, match=r"rules/policy\.yaml:2:1: not YAML"):
        active.load_now()
    assert active.current is None


def test_a_change_comes_into_force_and_is_told(rules: Path) -> None:
    active = made(rules)

    async def scenario(changes: list[Bundle]) -> None:
        before = active.current
        (rules / "policy.yaml").write_text(rule("new"))
        await until(lambda: changes)
        assert active.current is changes[0] is not before
        assert ids(active.current) == ["new"]
        assert ids(before) == []

    following(active, scenario)


def test_a_file_of_the_same_size_and_time_that_replaces_another_is_a_change(rules: Path) -> None:
    (rules / "policy.yaml").write_text(rule("old"))
    active = made(rules)

    async def scenario(changes: list[Bundle]) -> None:
        found = (rules / "policy.yaml").stat()
        fresh = rules.parent / "fresh"
        fresh.write_text(rule("new"))
        os.utime(fresh, ns=(found.st_atime_ns, found.st_mtime_ns))
        fresh.rename(rules / "policy.yaml")
        await until(lambda: changes)
        assert ids(active.current) == ["new"]

    following(active, scenario)


def test_a_broken_change_leaves_the_last_good_rules(rules: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is reported in full, once, as a warning: mitmproxy ends on errors that are logged while it starts."""
    (rules / "policy.yaml").write_text(rule("good"))
    active = made(rules)

    async def scenario(changes: list[Bundle]) -> None:
        (rules / "policy.yaml").write_text(BROKEN)
        await until(lambda: active.problem)
        first = active.problem
        (rules / "policy.yaml").write_text("#\n" + BROKEN)
        await until(lambda: active.problem is not first)
        second = active.problem
        os.utime(rules / "policy.yaml", ns=(1, 1))
        await until(lambda: active.problem is not second)
        assert changes == []
        assert ids(active.current) == ["good"]
        (rules / "policy.yaml").write_text(rule("better"))
        await until(lambda: changes)
        assert active.problem is None
        assert ids(active.current) == ["better"]

    with caplog.at_level(logging.INFO):
        following(active, scenario)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]
    assert "rules/policy.yaml:2:1: not YAML" in warnings[0]
    assert "rules/policy.yaml:3:1: not YAML" in warnings[1]


def test_a_folder_that_vanishes_leaves_the_last_good_rules(rules: Path) -> None:
    (rules / "policy.yaml").write_text(rule("good"))
    active = made(rules)

    async def scenario(changes: list[Bundle]) -> None:
        away = shutil.move(rules, rules.parent / "away")
        await until(lambda: active.problem)
        assert "no such file or folder" in str(active.problem)
        assert ids(active.current) == ["good"]
        shutil.move(away, rules)
        await until(lambda: changes)
        assert active.problem is None

    following(active, scenario)


def test_what_cannot_be_prepared_does_not_come_into_force_at_start(rules: Path) -> None:
    calls: list[str] = []

    def prepare(bundle: Bundle) -> None:
        calls.append(f"prepare {bundle.name}")
        raise HeadgateError("secret `env:KEY` is not set")

    active = made(rules, prepare=prepare)
    with pytest.raises(HeadgateError, match="`env:KEY` is not set"):
        active.load_now(before=lambda: calls.append("before"))
    assert (active.current, calls) == (None, ["before", "prepare n"])


def test_nothing_is_touched_for_rules_that_cannot_be_used(rules: Path) -> None:
    """Neither the state folder nor what only rules in force may have."""
    calls: list[str] = []
    active = made(rules, prepare=lambda _: calls.append("prepare"))
    (rules / "policy.yaml").write_text(BROKEN)
    with pytest.raises(BundleError):
        active.load_now(before=lambda: calls.append("before"))
    assert calls == []

    def before() -> None:
        raise HeadgateError("the state folder cannot be made")

    (rules / "policy.yaml").write_text(rule("good"))
    with pytest.raises(HeadgateError, match="state folder"):
        active.load_now(before)
    assert (active.current, calls) == (None, [])


def test_a_change_that_cannot_be_prepared_leaves_the_last_good_rules(
    rules: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A release list that was withdrawn, say: the file is in order, and still it must not come back."""
    (rules / "policy.yaml").write_text(rule("good"))
    prepared: list[tuple[list[str], bool]] = []

    def prepare(bundle: Bundle) -> None:
        prepared.append((ids(bundle), threading.current_thread() is threading.main_thread()))
        if ids(bundle) == ["old"]:
            raise HeadgateError("revision 3 is lower than 4")

    active = made(rules, prepare=prepare)

    async def scenario(changes: list[Bundle]) -> None:
        before = active.current
        (rules / "policy.yaml").write_text(rule("old"))
        await until(lambda: active.problem)
        assert str(active.problem) == "revision 3 is lower than 4"
        assert active.current is before
        assert changes == []
        (rules / "policy.yaml").write_text(rule("new"))
        await until(lambda: changes)
        assert (active.problem, ids(active.current)) == (None, ["new"])

    following(active, scenario)
    assert prepared == [(["good"], True), (["old"], False), (["new"], False)]
    assert [record.levelname for record in caplog.records if "revision 3" in record.getMessage()] == ["WARNING"]


def test_rules_whose_secret_was_missing_come_into_force_once_it_is_there(
    rules: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the folder changes with it; a rule that denies must not wait for the next change."""
    monkeypatch.setattr("headgate.bundle.active.AGAIN", 1)
    refusals: list[str] = []

    def prepare(bundle: Bundle) -> None:
        if ids(bundle) == ["new"] and len(refusals) < 3:
            refusals.append("refused")
            raise HeadgateError("secret `file:key.pem` cannot be read")

    active = made(rules, prepare=prepare)

    async def scenario(changes: list[Bundle]) -> None:
        (rules / "policy.yaml").write_text(rule("new"))
        await until(lambda: changes)
        assert (active.problem, ids(active.current)) == (None, ["new"])

    following(active, scenario)
    assert len(refusals) == 3
    assert len([record for record in caplog.records if "key.pem" in record.getMessage()]) == 1


def test_a_bundle_is_prepared_before_it_can_be_seen(rules: Path) -> None:
    (rules / "policy.yaml").write_text(rule("old"))
    seen: list[list[str]] = []
    active = made(rules, prepare=lambda _: seen.append(ids(active.current)))

    async def scenario(changes: list[Bundle]) -> None:
        (rules / "policy.yaml").write_text(rule("new"))
        await until(lambda: changes)

    following(active, scenario)
    assert seen == [[], ["old"]]


def test_a_file_that_is_still_being_written_is_not_taken_up(rules: Path) -> None:
    """A policy cut short may be good YAML and allow what its last rules deny."""
    active = made(rules)

    async def scenario(changes: list[Bundle]) -> None:
        for count in range(30):
            (rules / "policy.yaml").write_text(rule("part") + "#" * count)
            await asyncio.sleep(0)
            assert changes == []
        (rules / "policy.yaml").write_text(rule("whole"))
        await until(lambda: changes)
        assert ids(changes[0]) == ["whole"]

    following(active, scenario)


def test_a_change_counts_once_two_looks_in_a_row_found_it_unchanged(
    rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause between two writes, longer than one look takes, is no end of writing."""
    looks = "aaabbcbbb"  # what each look finds; the first two are those of the start
    seen: list[str] = []
    seen_at_load: list[str] = []

    def look(_: Folder) -> Signature:
        seen.append(looks[min(len(seen), len(looks) - 1)])
        return ((seen[-1], (), "", ()),)

    def load(folder: Path) -> Bundle:
        seen_at_load.append("".join(seen))
        return load_bundle(folder)

    async def scenario(changes: list[Bundle]) -> None:
        await until(lambda: changes)

    monkeypatch.setattr(Folder, "signature", look)
    following(made(rules, load), scenario)
    assert seen_at_load == ["a", looks + "b"]  # the last look is the one that belongs to the load


def test_a_change_that_comes_while_another_is_loaded_is_waited_for(rules: Path) -> None:
    """What was read may be half of the one and half of the other."""

    def load(folder: Path) -> Bundle:
        bundle = load_bundle(folder)
        if ids(bundle) == ["first"]:
            (folder / "policy.yaml").write_text(rule("second"))
        return bundle

    active = made(rules, load)

    async def scenario(changes: list[Bundle]) -> None:
        (rules / "policy.yaml").write_text(rule("first"))
        await until(lambda: changes)
        assert [ids(bundle) for bundle in changes] == [["second"]]
        assert active.problem is None

    following(active, scenario)


def test_a_key_file_that_a_broken_bundle_lacks_mends_it_when_it_comes(rules: Path) -> None:
    provider = "name: a, preset: oidc, issuer: i, audiences: [a], algorithms: [ES256], kind: human"
    active = made(rules)

    async def scenario(changes: list[Bundle]) -> None:
        (rules / "identity.yaml").write_text(f"providers: [{{{provider}, jwks: 'file:keys/a.json'}}]\n")
        await until(lambda: active.problem)
        (rules / "keys").mkdir()
        (rules / "keys" / "a.json").write_text(json.dumps({"keys": [KEY]}))
        await until(lambda: changes)
        assert active.problem is None

    following(active, scenario)


def test_a_folder_that_does_not_change_is_loaded_once(rules: Path) -> None:
    loads = 0

    def load(folder: Path) -> Bundle:
        nonlocal loads
        loads += 1
        return load_bundle(folder)

    active = made(rules, load)

    async def scenario(_changes: list[Bundle]) -> None:
        shutil.copy(rules / "policy.yaml", rules.parent / "beside.yaml")
        (rules / ".policy.yaml.swp").touch()
        await asyncio.sleep(INTERVAL * 4)

    following(active, scenario)
    assert loads == 1
