"""A mitmproxy that is not the one the guard was made for is noticed before anything is served."""

import asyncio

import pytest
from mitmproxy import hooks, version
from mitmproxy.addonmanager import AddonManager
from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster

from headgate.proxy import internals


@pytest.fixture
def addons() -> AddonManager:
    async def make() -> AddonManager:
        return DumpMaster(Options(), with_termlog=False, with_dumper=False).addons

    return asyncio.run(make())


def test_the_pinned_mitmproxy_is_as_expected(addons: AddonManager) -> None:
    assert list(internals.differences(addons)) == []


def test_another_version_is_named(addons: AddonManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "VERSION", "13.0.0")
    assert "13.0.0" in next(internals.differences(addons))


def test_a_new_hook_is_named(addons: AddonManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(hooks.all_hooks, "smtp_message", hooks.UpdateHook)
    assert "`smtp_message`" in next(internals.differences(addons))


def test_another_order_of_addons_is_noticed(addons: AddonManager) -> None:
    addons.chain.reverse()
    assert "another order" in next(internals.differences(addons))


def test_changed_code_is_noticed(addons: AddonManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(internals.SOURCES, "Master.run", AddonManager.register)
    assert "code has been changed" in next(internals.differences(addons))
