"""Real proxies, a real upstream and a real client (`proxy.py`, `upstream.py`, `window.py`).

Proxies and upstreams are shared by the tests of a module. When a module is done, each of its proxies must have
forgotten every flow, and no secret that was in play may be readable in anything it showed or left behind.
"""

import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.certificates import Certificates, issue
from tests.e2e.proxy import Proxy
from tests.e2e.upstream import Upstream

Start = Callable[..., Proxy]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issue(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls_upstream(certificates: Certificates) -> Iterator[Upstream]:
    server = Upstream(certificates.server())
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _forget(request: pytest.FixtureRequest) -> None:
    for name in {"upstream", "tls_upstream"} & set(request.fixturenames):
        request.getfixturevalue(name).forget()


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts proxies that end with the module: `proxies(mode=..., door=...)`; see `Proxy`."""
    running: list[Proxy] = []

    def start(*options: str, **keywords: object) -> Proxy:
        proxy = Proxy(tmp_path_factory.mktemp("proxy"), *options, **keywords)  # type: ignore[arg-type]
        running.append(proxy)
        return proxy

    yield start
    problems = []
    for proxy in running:
        try:
            proxy.finish()
        except AssertionError as problem:
            problems.append(problem)
        finally:
            proxy.stop()
            shutil.rmtree(proxy.folder, ignore_errors=True)
    if problems:
        raise ExceptionGroup("a proxy did not end well", problems)


@pytest.fixture
def attempt(tmp_path: Path) -> Iterator[Start]:
    """Starts proxies of one test, most of which are to end by themselves; what still runs afterwards is ended."""
    started: list[Proxy] = []

    def start(*options: str, **keywords: object) -> Proxy:
        proxy = Proxy(tmp_path, *options, peek=False, **keywords)  # type: ignore[arg-type]
        started.append(proxy)
        return proxy

    yield start
    for proxy in started:
        proxy.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """A test that fails shows what its proxies have printed."""
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, Proxy):
                report.sections.append((f"{name}: {value.door}", "".join(value.output.lines[-60:])))
    return report
