"""What happens to the guard when its own files change under it: the script it was loaded by, and its rules."""

import os
import shutil
from pathlib import Path

import pytest
from tests.e2e.canary import CANARY
from tests.e2e.conftest import Start
from tests.e2e.proxy import CHAIN, RULES, Proxy
from tests.e2e.upstream import Upstream

from headgate.proxy import guard


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copy(CHAIN, tmp_path_factory.mktemp("chain") / "chain.py"))


@pytest.fixture(scope="module")
def proxy(proxies: Start, upstream: Upstream, chain: Path) -> Proxy:
    upstream.forget()
    environment = {"PYTHONPATH": str(Path(guard.__file__).parents[2])}
    return proxies(mode=f"reverse:{upstream.url}", chain=chain, environment=environment).warm()


def assert_still_judged(proxy: Proxy, upstream: Upstream) -> None:
    upstream.forget()
    assert proxy.get("/customers/7", token=None).status_code == 401
    assert proxy.request("DELETE", "/customers/7").status_code == 403
    assert upstream.connections == 0
    allowed = proxy.get("/customers/7")
    assert allowed.status_code == 200, allowed.text
    assert CANARY not in allowed.text


def save(path: Path, text: str) -> None:
    """Write so that mitmproxy, which looks at times of modification, takes notice."""
    before = path.stat().st_mtime
    path.write_text(text)
    os.utime(path, (before + 5, before + 5))


def test_the_script_may_be_broken_emptied_mended_and_deleted(proxy: Proxy, upstream: Upstream, chain: Path) -> None:
    """In one test, since each step starts from what the one before has left."""
    whole = chain.read_text()
    steps = (
        ("def load(:\n", r"error in script"),
        ("raise ValueError('broken')\n", r"error in script(?s:.)*broken"),
        ("", r"Loading script .*chain\.py"),
        (whole, r"Loading script .*chain\.py"),
    )
    for text, told in steps:
        before = len(proxy.output.lines)
        save(chain, text)
        proxy.output.wait_for(told, after=before)
        assert_still_judged(proxy, upstream)
    before = len(proxy.output.lines)
    chain.unlink()
    proxy.output.wait_for(r"Removing script .*chain\.py", after=before)
    assert_still_judged(proxy, upstream)
    proxy.output.wait_for(r"frozen while headgate guards: `scripts`", after=before)


LOCKED = "rules:\n  - {id: nobody-may, effect: deny, match: {}, message: Closed.}\n"
BROKEN = "rules:\n  - {id: support-may, effect: allow, match: {colour: blue}}\n"


def test_rules_that_do_not_parse_leave_the_last_good_ones_in_force_until_they_are_mended(
    proxy: Proxy, upstream: Upstream
) -> None:
    policy = proxy.rules / "policy.yaml"
    before = len(proxy.output.lines)
    policy.write_text(BROKEN)
    proxy.output.wait_for(r"the changed rules cannot be used, the last good ones stay in force", after=before)
    proxy.output.wait_for(r"policy\.yaml:2:\d+: .*colour", after=before)
    assert_still_judged(proxy, upstream)

    before = len(proxy.output.lines)
    policy.write_text(LOCKED)
    proxy.output.wait_for(r"rules `test` .* are in force", after=before)
    upstream.forget()
    refused = proxy.get("/customers/7")
    assert (refused.status_code, refused.json()["rule"]) == (403, "nobody-may")
    assert upstream.connections == 0

    before = len(proxy.output.lines)
    policy.write_text(RULES["policy.yaml"])
    proxy.output.wait_for(r"rules `test` .* are in force", after=before)
    assert_still_judged(proxy, upstream)


@pytest.mark.parametrize("name", ["identity.yaml", "targets.yaml", "bundle.yaml", "policy.yaml", "masking.yaml"])
def test_a_rules_file_that_is_gone_changes_nothing(proxy: Proxy, upstream: Upstream, name: str) -> None:
    before = len(proxy.output.lines)
    (proxy.rules / name).unlink()
    proxy.output.wait_for(r"the changed rules cannot be used", after=before)
    assert_still_judged(proxy, upstream)
    before = len(proxy.output.lines)
    (proxy.rules / name).write_text(RULES[name])
    proxy.output.wait_for(r"rules `test` .* are in force", after=before)


def test_a_rules_folder_that_is_gone_changes_nothing(proxy: Proxy, upstream: Upstream) -> None:
    before = len(proxy.output.lines)
    away = proxy.rules.rename(proxy.rules.with_name("away"))
    proxy.output.wait_for(r"the changed rules cannot be used", after=before)
    assert_still_judged(proxy, upstream)
    before = len(proxy.output.lines)
    away.rename(proxy.rules)
    proxy.output.wait_for(r"rules `test` .* are in force", after=before)
    assert_still_judged(proxy, upstream)
