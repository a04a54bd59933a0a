"""What an attacker tried against the rules language from outside: each of these once got through."""

import base64
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.e2e.conftest import Start
from tests.e2e.proxy import Proxy, write_rules
from tests.e2e.upstream import Reply, Upstream
from tests.e2e.wire import Answer, answer_on

from headgate.bundle.folder import Folder, UnsettledError
from headgate.bundle.load import load_bundle
from headgate.bundle.signing import UnsignedError, check, sign
from headgate.identity.rules import compile_identity

TARGETS = """
targets:
  - {name: api, hosts: [127.0.0.1], environment: dev}
  - {name: described, hosts: [localhost], environment: dev, openapi: openapi/orders.yaml}
unknown: refuse
"""
DESCRIPTION = """
openapi: 3.1.0
info: {title: Orders, version: "1"}
paths: {/orders: {get: {responses: {"200": {description: done}}}}}
"""
POLICY = """
rules:
  - {id: orders, effect: allow, match: {target: described}}
  - {id: support-may, effect: allow, match: {principal: {groups: [support]}, target: api}, remove_query: [debug]}
  - {id: no-reading, effect: deny, match: {target: api, method: GET, path: /secret}}
  - {id: no-large, effect: deny, match: {target: api, path: /any-depth, body: {"$..amount": {gt: 1000}}}}
  - {id: no-large-order, effect: deny, match: {target: api, path: /nested, body: {"$.order.amount": {gt: 1000}}}}
  - {id: no-large-item, effect: deny, match: {target: api, path: /items, body: {"$.items[*].amount": {gt: 1000}}}}
  - {id: no-mutations, effect: deny, match: {target: api, path: /graphql, graphql: {operation: mutation}}}
  - {id: sales-pays, effect: allow, match: {principal: {groups: [sales]}, path: /little, body: {"$..amount": {lt: 9}}}}
  - {id: sales-reads, effect: allow, match: {principal: {groups: [sales]}, path: /queries, graphql: {operation: query}}}
  - id: no-admins
    effect: deny
    match: {target: api, path: /by-role}
    when: '"x-role" in request.headers && "admin" in request.headers["x-role"]'
  - id: of-a-tenant
    effect: allow
    match: {target: api, path: "/tenants/{tenant}", query: {v: "1"}}
    set_headers: {X-Tenant: "{path_params.tenant}"}
  - {id: grouped, effect: allow, match: {target: api, path: /grouped}, set_headers: {X-Groups: "{principal.groups}"}}
limits:
  - {id: large-payments, match: {target: api, path: /pay, body: {"$.amount": {gt: 1000}}}, key: target, rate: 1/hour}
"""
MASKING = """
masks: [{id: personal-data, match: {target: api, method: GET}, fields: ["$..ssn"]}]
"""
FORM, JSON = "application/x-www-form-urlencoded", "application/json"


def rules_in(folder: Path) -> Path:
    rules = write_rules(folder / "rules", targets=TARGETS, policy=POLICY, masking=MASKING)
    (rules / "openapi").mkdir()
    (rules / "openapi/orders.yaml").write_text(DESCRIPTION)
    return rules


@pytest.fixture(scope="module")
def proxy(proxies: Start, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Proxy:
    return proxies(mode=f"reverse:{upstream.url}", rules=rules_in(tmp_path_factory.mktemp("attacked"))).ready()


@pytest.fixture(scope="module")
def described(proxies: Start, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Proxy:
    mode = f"reverse:{upstream.url.replace('127.0.0.1', 'localhost')}"
    return proxies(mode=mode, rules=rules_in(tmp_path_factory.mktemp("described"))).ready()


def asking_to_upgrade(proxy: Proxy, path: str) -> Answer:
    """A GET whose upstream has never heard of WebSockets, and answers it as any other."""
    key = base64.b64encode(os.urandom(16)).decode()
    fields = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}")
    with proxy.connect() as connection:
        connection.sendall(proxy.written("GET", path, *fields))
        return answer_on(connection)


def posted(proxy: Proxy, path: str, body: bytes, kind: str = JSON, **keywords: Any) -> int:
    return proxy.request("POST", path, content=body, headers={"Content-Type": kind}, **keywords).status_code


# -- an upgrade that the upstream does not make is a plain GET --------------------------------------------------------


def test_a_get_that_asks_to_upgrade_reads_nothing_that_a_get_may_not_read(proxy: Proxy, upstream: Upstream) -> None:
    upstream.replies["/secret"] = Reply(b'{"secret": "of the vault"}')
    assert proxy.get("/secret").status_code == 403
    assert b"of the vault" not in asking_to_upgrade(proxy, "/secret").body


def test_a_get_that_asks_to_upgrade_is_masked_as_a_get(proxy: Proxy, upstream: Upstream) -> None:
    upstream.replies["/open"] = Reply(b'{"ssn": "078-05-1120"}')
    assert "078-05-1120" not in proxy.get("/open").text
    assert b"078-05-1120" not in asking_to_upgrade(proxy, "/open").body


def test_a_get_that_asks_to_upgrade_fits_the_description_as_a_get(described: Proxy, upstream: Upstream) -> None:
    upstream.replies["/undescribed"] = Reply(b'{"undescribed": true}')
    assert described.get("/undescribed").status_code == 422
    assert b"undescribed" not in asking_to_upgrade(described, "/undescribed").body


# -- bodies that say the same in another way --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/any-depth", b"order[amount]=5000"),
        ("/any-depth", b"orders[0][amount]=5000"),
        ("/any-depth", b"order.amount=5000"),
        ("/nested", b"order.amount=5000"),
        ("/nested", b"order%2Eamount=5000"),
        ("/items", b"items.0.amount=5000"),
    ],
)
def test_a_form_that_nests_by_its_names_is_not_passed_over(
    proxy: Proxy, upstream: Upstream, path: str, body: bytes
) -> None:
    assert posted(proxy, path, body, FORM) == 403
    assert upstream.seen == []


@pytest.mark.parametrize(
    "body",
    [
        {"id": "a-stored-mutation", "variables": {}, "x": 1},
        {"id": "a-stored-mutation", "query": None, "variables": {}},
    ],
    ids=["one-more-member", "no-document"],
)
def test_a_stored_graphql_operation_is_unknown_whatever_stands_beside_it(
    proxy: Proxy, upstream: Upstream, body: dict[str, Any]
) -> None:
    assert posted(proxy, "/graphql", json.dumps(body).encode()) == 403
    assert upstream.seen == []


def test_an_allow_for_small_amounts_lets_no_large_one_pass_beside_a_small_one(proxy: Proxy, upstream: Upstream) -> None:
    sales = proxy.token(groups=["sales"])
    assert posted(proxy, "/little", b"amount=1", FORM, token=sales) == 200
    assert posted(proxy, "/little", b"amount=1&order[amount]=5000", FORM, token=sales) == 403
    assert len(upstream.seen) == 1


@pytest.mark.parametrize(
    "stored",
    [{"id": "a-stored-mutation", "x": 1}, {"id": "a-stored-mutation", "query": None, "variables": {}}],
    ids=["one-more-member", "no-document"],
)
def test_an_allow_for_queries_lets_no_stored_operation_pass_beside_one(
    proxy: Proxy, upstream: Upstream, stored: dict[str, Any]
) -> None:
    sales = proxy.token(groups=["sales"])
    assert posted(proxy, "/queries", json.dumps([{"query": "{a}"}]).encode(), token=sales) == 200
    assert posted(proxy, "/queries", json.dumps([{"query": "{a}"}, stored]).encode(), token=sales) == 403
    assert len(upstream.seen) == 1


def test_a_list_in_one_header_field_is_for_when_what_it_is_for_match(proxy: Proxy, upstream: Upstream) -> None:
    assert proxy.get("/by-role", headers={"X-Role": "admin"}).status_code == 403
    assert proxy.get("/by-role", headers={"X-Role": "user, admin"}).status_code == 403
    assert upstream.seen == []


# -- shaping ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query", ["a=1;debug=1", "debug[]=1", "debug[a]=1", "Debug=1", "+debug=1", "debug%20=1", "debug%00=1", "debug.=1"]
)
def test_a_parameter_that_is_removed_goes_in_every_spelling(proxy: Proxy, upstream: Upstream, query: str) -> None:
    answer = proxy.get(f"/any?{query}")
    assert answer.status_code != 200 or "debug" not in upstream.seen[0].path.lower()


@pytest.mark.parametrize("target", ["/tenants/acme?v=1&V=1", "/tenants/acme/?v=1", "/tenants/acme?v=2"])
def test_no_caller_chooses_the_value_of_a_header_that_rules_set(proxy: Proxy, upstream: Upstream, target: str) -> None:
    """Another allow rule lets these pass; that must not make the caller's own header count."""
    proxy.get(target, headers={"X-Tenant": "globex"})
    assert not any("globex" in seen.header("X-Tenant") for seen in upstream.seen)


def test_a_group_with_a_comma_in_its_name_makes_no_two_groups(proxy: Proxy, upstream: Upstream) -> None:
    proxy.get("/grouped", token=proxy.token(groups=["support", "my,admins"]))
    assert not any("admins" in value.split(",") for seen in upstream.seen for value in seen.header("X-Groups"))


# -- limits -----------------------------------------------------------------------------------------------------------


def test_a_limit_on_what_a_body_says_refuses_no_other_bodies(proxy: Proxy, upstream: Upstream) -> None:
    assert posted(proxy, "/pay", b'{"amount": 5000}', token=proxy.token(sub="mallory")) == 200
    assert posted(proxy, "/pay", b'{"amount": 5000}', token=proxy.token(sub="mallory")) == 429
    assert posted(proxy, "/pay", b'{"amount": 1}', token=proxy.token(sub="bob")) == 200
    assert len(upstream.seen) == 2


# -- what one request may cost ----------------------------------------------------------------------------------------


def test_a_small_body_that_unpacks_into_very_many_values_is_not_read(proxy: Proxy) -> None:
    """1.6 kB sent, 255,000 numbers to read: it would hold the proxy for a second, so it is unknown."""
    numbers = b"[" + b",".join([b"1.5"] * 255_000) + b',"\\ud83d\\ude00"]'
    sent = gzip.compress(b'{"amount": 1, "x": ' + numbers + b"}")
    assert len(sent) < 2000
    token = proxy.token(sub="mallory")
    headers = {"Content-Type": JSON, "Content-Encoding": "gzip"}
    answer = proxy.request("POST", "/any-depth", content=sent, headers=headers, token=token)
    assert (answer.status_code, answer.json()["reason"]) == (403, "denied-by-unknown")


# -- rules that nobody has signed -------------------------------------------------------------------------------------


def jwks(kid: str) -> str:
    numbers = generate_private_key(SECP256R1()).public_key().public_numbers()
    x, y = (base64.urlsafe_b64encode(number.to_bytes(32)).rstrip(b"=").decode() for number in (numbers.x, numbers.y))
    return json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": kid, "x": x, "y": y}]})


@pytest.fixture
def swapping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rules folder whose key file is another one for as long as identity.yaml is compiled."""
    (tmp_path / "good.json").write_text(jwks("good"))
    (tmp_path / "evil.json").write_text(jwks("evil"))
    provider = (
        "{name: sso, preset: oidc, issuer: https://sso.example.com, audiences: [api], jwks: file:idp.json,"
        " algorithms: [ES256], kind: human}"
    )
    rules = write_rules(tmp_path / "rules", identity=f"providers:\n  - {provider}\n")
    (rules / "idp.json").symlink_to(tmp_path / "good.json")

    def put(name: str) -> None:
        (tmp_path / "next").symlink_to(tmp_path / name)
        os.replace(tmp_path / "next", rules / "idp.json")

    def compile_meanwhile(*arguments: Any) -> Any:
        put("evil.json")
        try:
            return compile_identity(*arguments)
        finally:
            put("good.json")

    monkeypatch.setattr("headgate.bundle.load.compile_identity", compile_meanwhile)
    return rules


def test_what_is_compiled_is_what_is_hashed_and_signed(swapping: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swapped = load_bundle(swapping)
    with pytest.raises(UnsettledError):
        Folder(swapping).read()
    monkeypatch.setattr("headgate.bundle.load.compile_identity", compile_identity)
    honest = Folder(swapping).read()
    for bundle, kid in ((swapped, "evil"), (honest, "good")):
        (provider,) = bundle.identity.providers
        assert provider.keys.static is not None
        assert provider.keys.static.holds(kid)
        assert bundle.contents["idp.json"] == (swapping.parent / f"{kid}.json").read_bytes()
    key = Ed25519PrivateKey.generate()
    signature = sign(honest, key)
    check(honest, signature, key.public_key())
    with pytest.raises(UnsignedError):
        check(swapped, signature, key.public_key())
