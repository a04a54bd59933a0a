"""The fixtures: a real proxy, an upstream that answers from a recording, recordings, and tokens.

Each is a function for tests to call, so that one test may have several of what it makes, and fixtures of any scope may
share one; what nobody asks for is neither imported nor started.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from headgate.replay.flowdb import FlowDb
    from headgate.replay.proxies import RunningProxy
    from headgate.replay.upstreams import ReplayUpstream


@pytest.fixture(scope="session")
def headgate_proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Callable[..., RunningProxy]]":
    """Starts proxies: `headgate_proxy(upstream="http://127.0.0.1:9000")` is one that guards that upstream.

    Each call starts one more, a process of its own with a free port on loopback, a throwaway certificate authority and
    a state folder of its own, and returns when it serves. It ends with the session, or with its `with` block:

        with headgate_proxy("tests/rules", upstream=upstream.url) as proxy:
            token = proxy.token(id="ana", groups=["support"])
            answer = httpx.get(f"{proxy.url}/v1/customers/17", headers={"Authorization": f"Bearer {token}"})

    Without `upstream` it is a forward proxy, for clients with a token in `Proxy-Authorization` that trust its
    authority: `httpx.Client(proxy=httpx.Proxy(proxy.url, headers=...), verify=proxy.ssl_context())`. `rules` is the
    project's folder of rules by default; `options` are mitmdump's (`["--set", "headgate_capture=metadata"]`), `mode` is
    a mode of mitmproxy's in place of these two, `environment` is added to that of the process. A proxy that does not
    start is a HeadgateError with what it said. To share one, and its state, ask for it in a fixture of your own.
    """
    from headgate.replay.projects import project_of, quietly

    with quietly():
        from headgate.replay.proxies import RunningProxy

    project = project_of(request.config)
    with ExitStack() as down:

        def start(
            rules: str | None = None, *, upstream: str | None = None, options: Sequence[str] = (), **more: Any
        ) -> RunningProxy:
            where = project.root / rules if rules is not None else project.rules()
            folder = tmp_path_factory.mktemp("headgate")
            return down.enter_context(RunningProxy(folder, where, upstream, options, **more))

        yield start


@pytest.fixture(scope="session")
def replay_upstream(request: pytest.FixtureRequest) -> "Iterator[Callable[..., ReplayUpstream]]":
    """Serves recordings: `replay_upstream("checkout")` answers from flows/checkout.db, on loopback, at its `url`.

    A request gets the answer of the recorded one with the same method, path, query and body, each once, in order; with
    `repeat=True` the last one again and again. What differs each time is left out of the comparison with
    `ignore_query=["page"]` and `ignore_json=["$.request_id"]`; with `headers=["accept"]` these count, too. A recording
    holds requests masked: what a mask has changed in them is to be ignored as well.

    What no recording answers gets 502 with `X-Headgate-Replay`: `used-up` when all that were recorded have been
    answered, `different` with the nearest recorded request and where it differs. `misses` has them all; nothing is ever
    asked of anybody else. Each call serves one more, of which nothing has been used; it ends with the session, or with
    its `with` block.
    """
    from headgate.replay.projects import project_of, quietly

    with quietly():
        from headgate.replay.upstreams import ReplayUpstream, recording

    with ExitStack() as down:

        def serve(name: str, **matching: Any) -> ReplayUpstream:
            return down.enter_context(ReplayUpstream(recording(project_of(request.config), name), **matching))

        yield serve


@pytest.fixture(scope="session")
def flow_db(request: pytest.FixtureRequest) -> "Callable[[str], FlowDb]":
    """Opens recordings: `flow_db("checkout")` is flows/checkout.db, its flows by the names that they have as tests.

    `flow_db("checkout")["POST /v1/refunds#3f2a"]` has `summary` (method, path, status, effect, reason ...),
    `principal`, `request` and `response`, masked as they were recorded. Nothing is written to the file.
    """
    from headgate.replay.projects import project_of, quietly

    with quietly():
        from headgate.replay.upstreams import recording

    return lambda name: recording(project_of(request.config), name)


@pytest.fixture(scope="session")
def mint_token() -> "Callable[..., str]":
    """Makes development tokens: `mint_token(proxy.state, id="ana", kind="human", groups=["support"])`.

    They are what `headgate token mint` makes, signed with the key in that state folder, and believed by a proxy that
    runs with it where its rules have a provider of preset `development`. `environment`, `audience`, `email`, `scopes`,
    `owner` (an agent that acts for this person) and `lifetime` (seconds) go the same way, any other claim in
    `claims={"/tenant/id": 7}`, by name or JSON Pointer. `proxy.token(...)` is the same for a proxy at hand.
    """
    from headgate.replay.projects import quietly

    with quietly():
        from headgate.replay.devtokens import mint

    return mint
