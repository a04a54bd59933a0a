"""The fixtures of the plugin: real proxies, upstreams that answer from recordings, tokens, and the example project that
uses them all."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from tests.replay.checkout import CHECKOUT, flow, save
from tests.replay.shop import EXAMPLE, Shop, outcomes

from headgate.errors import HeadgateError
from headgate.replay import devtokens
from headgate.replay.flowdb import FlowDb
from headgate.replay.proxies import RunningProxy
from headgate.replay.upstreams import ReplayUpstream

pytest_plugins = ["pytester"]

PATIENCE = 60.0


@pytest.fixture
def shop(pytester: pytest.Pytester) -> Shop:
    return Shop(pytester)


def test_the_example_project_passes(shop: Shop) -> None:
    outcomes(shop.run("-W", "error", where=None, apart=True), passed=8)


# -- proxies ----------------------------------------------------------------------------------------------------------


def test_proxies_of_one_session_share_nothing_and_end_with_it(shop: Shop) -> None:
    shop.pytester.makepyfile(
        """
        import os
        import pytest

        PIDS = []

        def test_two_at_once(headgate_proxy):
            one, two = headgate_proxy(), headgate_proxy("rules")
            assert one.port != two.port and one.state != two.state
            assert one.ca.read_bytes() != two.ca.read_bytes()
            with pytest.raises(Exception):
                one.token(claims={"exp": 1})
            print("pids", one.pid, two.pid)
            assert os.getpgid(one.pid) == one.pid

        def test_one_that_ends_with_its_block(headgate_proxy):
            with headgate_proxy() as proxy:
                assert proxy.running and "headgate guards" in proxy.log
            assert not proxy.running
            assert not proxy.folder.exists()
        """
    )
    result = shop.run(
        "--ignore=tests", "-s", where="test_proxies_of_one_session_share_nothing_and_end_with_it.py", apart=True
    )
    outcomes(result, passed=2)
    (line,) = [line for line in result.outlines if "pids " in line]
    for pid in line.partition("pids ")[2].split()[:2]:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.strip(".")), 0)


def test_a_proxy_whose_rules_are_wrong_fails_with_what_it_said(shop: Shop) -> None:
    shop.change("rules/policy.yaml", "effect: deny", "effect: dney")
    with pytest.raises(HeadgateError, match=r"(?s)the proxy ended.*policy\.yaml:11:13: `dney` is not accepted"):
        RunningProxy(shop.root / "proxy", shop.root / "rules")


def test_options_and_environment_reach_the_proxy(shop: Shop) -> None:
    options = ("--set", "headgate_capture=metadata", "-w", "saved.mitm")
    with RunningProxy(shop.root / "proxy", shop.root / "rules", options=options, environment={"NOTE": "x"}) as proxy:
        assert httpx.get(proxy.url, trust_env=False, timeout=PATIENCE).status_code in (400, 401, 403)
        assert (proxy.folder / "saved.mitm").exists()
        environment = Path(f"/proc/{proxy.pid}/environ")
        assert not environment.exists() or b"NOTE=x" in environment.read_bytes()


def test_a_forward_proxy_is_trusted_by_its_own_authority(shop: Shop) -> None:
    with RunningProxy(shop.root / "proxy", shop.root / "rules") as proxy:
        token = f"Bearer {proxy.token()}"
        through = httpx.Proxy(proxy.url, headers={"Proxy-Authorization": token})
        with httpx.Client(proxy=through, verify=proxy.ssl_context(), trust_env=False, timeout=PATIENCE) as client:
            answer = client.get("https://shop.internal/elsewhere", headers={"Authorization": token})
        assert answer.json()["reason"] == "no-rule-allows", "the handshake has succeeded, and nobody else was asked"


# -- upstreams --------------------------------------------------------------------------------------------------------


def ask(upstream: ReplayUpstream, method: str, target: str, **more: object) -> httpx.Response:
    return httpx.request(method, upstream.url + target, trust_env=False, timeout=PATIENCE, **more)  # type: ignore[arg-type]


def test_an_upstream_answers_each_recording_once(shop: Shop) -> None:
    with ReplayUpstream(FlowDb(shop.database)) as upstream:
        assert ask(upstream, "GET", "/v1/customers/17").json()["plan"] == "gold"
        assert ask(upstream, "POST", "/v1/refunds", json={"amount": 5, "order": 7}).json() == {"refund": 1}
        again = ask(upstream, "GET", "/v1/customers/17")
        assert again.status_code == 502
        assert [miss.reason for miss in upstream.misses] == ["used-up"]


def test_an_upstream_may_answer_again_and_again(shop: Shop) -> None:
    with ReplayUpstream(FlowDb(shop.database), repeat=True) as upstream:
        assert [ask(upstream, "GET", "/v1/customers/17").status_code for _ in range(3)] == [200] * 3
        assert (upstream.served, upstream.misses) == (3, [])


def test_a_request_that_differs_is_told_from_one_that_was_used(shop: Shop) -> None:
    with ReplayUpstream(FlowDb(shop.database)) as upstream:
        answer = ask(upstream, "POST", "/v1/refunds", json={"amount": 6, "order": 7})
        assert answer.status_code == 502
        assert answer.json()["differs"] == ["body /amount"]
        assert upstream.misses[0].place == "POST /v1/refunds"


def test_what_differs_each_time_can_be_left_out(shop: Shop) -> None:
    save(shop.database, [flow(1, "POST", "/v1/refunds?at=1", sent=b'{"id": 1, "amount": 5}', got=b'{"refund": 1}')])
    with ReplayUpstream(FlowDb(shop.database), ignore_query=["at"], ignore_json=["$.id"], repeat=True) as upstream:
        assert ask(upstream, "POST", "/v1/refunds?at=2", json={"id": 2, "amount": 5}).status_code == 200
        assert ask(upstream, "POST", "/v1/refunds?at=2", json={"id": 2, "amount": 6}).status_code == 502
    with pytest.raises(HeadgateError, match="ignore_json"):
        ReplayUpstream(FlowDb(shop.database), ignore_json=["$["])


def test_what_never_reached_an_upstream_is_not_answered(shop: Shop) -> None:
    with ReplayUpstream(FlowDb(shop.database)) as upstream:
        assert ask(upstream, "DELETE", "/v1/customers/17").status_code == 502


def test_an_upstream_listens_on_loopback_and_ends(shop: Shop) -> None:
    with ReplayUpstream(FlowDb(shop.database)) as upstream:
        assert urlsplit(upstream.url).hostname == "127.0.0.1"
    with pytest.raises(httpx.ConnectError):
        ask(upstream, "GET", "/v1/customers/17")


# -- recordings and tokens --------------------------------------------------------------------------------------------


def test_a_recording_is_a_mapping_of_its_flows_by_name(shop: Shop) -> None:
    flows = FlowDb(shop.database)
    assert len(flows) == len(CHECKOUT)
    assert flows["DELETE /v1/customers/17#b919"].summary.status == 403
    with pytest.raises(KeyError):
        flows["DELETE /v1/customers/17"]
    with pytest.raises(HeadgateError, match=r"there is no recording at .*; `headgate flows save` makes one"):
        FlowDb(shop.root / "flows/none.db")


def test_reading_a_recording_leaves_it_and_its_folder_as_they_are(shop: Shop) -> None:
    before = shop.database.read_bytes()
    assert list(FlowDb(shop.database).values())
    assert shop.database.read_bytes() == before
    assert [path.name for path in shop.database.parent.iterdir() if "checkout.db" in path.name] == ["checkout.db"]


def test_a_token_says_what_was_asked_for(tmp_path: Path) -> None:
    token = devtokens.mint(
        tmp_path,
        id="bot",
        owner="ana",
        groups=["a", "b"],
        environment="prod",
        scopes=["x", "y"],
        claims={"/tenant/id": 7},
    )
    said = jwt.decode(token, options={"verify_signature": False})
    assert said["sub"] == "ana"
    assert said["act"] == {"sub": "bot"}
    assert said["kind"] == "agent"
    assert (said["groups"], said["env"], said["scope"]) == (["a", "b"], ["prod"], "x y")
    assert said["tenant"] == {"id": 7}
    assert said["exp"] - said["iat"] == 3600


@pytest.mark.parametrize("name", ["iss", "/exp", "", "/~2"])
def test_a_token_does_not_take_what_is_not_one_s_to_say(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        HeadgateError, match="cannot be set; accepted: a name or JSON Pointer other than exp, iat, iss, nbf"
    ):
        devtokens.mint(tmp_path, claims={name: 1})


def test_the_example_says_how_it_is_run() -> None:
    said = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    options = ("--flows-update", "--allow-loosening", "--flows-rules", "--flows-report", "--flows-update-new-only")
    fixtures = ("headgate_proxy", "replay_upstream", "flow_db", "mint_token")
    assert [word for word in (*options, *fixtures, "flows_dir", "flows_rules", "rules:") if word not in said] == []
