"""Versions of the rules under a real proxy: activated, rolled back, refused and signed while requests go on."""

import http.client
import json
import re
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.e2e.conftest import Start
from tests.e2e.output import PATIENCE
from tests.e2e.proxy import RULES, Proxy, write_rules
from tests.e2e.test_start import ended
from tests.e2e.upstream import Reply, Upstream

from headgate.cli.main import main

PINNED = RULES["policy.yaml"].replace("id: nobody-deletes,", "id: nobody-deletes, pinned: true,")
BROKEN = "rules:\n  - {id: support-may, effect: perhaps}\n"


def closed(message: str) -> str:
    """Rules that refuse everything, with these words."""
    return RULES["policy.yaml"] + f"  - {{id: nobody-may, effect: deny, match: {{}}, message: {message}}}\n"


def version(number: str) -> str:
    return f"name: test\nversion: {number}\n"


def headgate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["rules", *map(str, arguments)])


def done(*arguments: str | Path) -> Any:
    """What a command that succeeds reports."""
    result = headgate(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def history(proxy: Proxy) -> list[tuple[str, str | None]]:
    """What happened, the oldest first: how, and to which version."""
    return [(entry["how"], entry["version"]) for entry in reversed(done("history", "--state", proxy.state))]


def message(proxy: Proxy) -> str:
    """What the rules in force say to a request; `allowed` where they say nothing."""
    answer = proxy.get("/customers/7")
    return "allowed" if answer.status_code in (200, 502) else str(answer.json()["detail"])


def health(proxy: Proxy) -> dict[str, Any]:
    (url,) = proxy.output.wait_for(r"headgate shows its state and its public keys on (http://127\.0\.0\.1:\d+)")
    with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        found: dict[str, Any] = client.get(f"{url}/healthz").json()
        return found


class Changing:
    """Waits for what a proxy prints when other rules come into force, or are refused."""

    def __init__(self, proxy: Proxy) -> None:
        self._output, self._seen = proxy.output, len(proxy.output.lines)

    def in_force(self) -> None:
        self._output.wait_for(r"rules `test` \S+ are in force", after=self._seen)

    def refused(self, why: str) -> None:
        self._output.wait_for(r"cannot be used, the last good ones", after=self._seen)
        self._output.wait_for(re.escape(why), after=self._seen)


def test_a_version_is_activated_and_rolled_back_while_the_proxy_runs_and_stays_so(
    proxies: Start, upstream: Upstream, tmp_path: Path
) -> None:
    mode, rules, new = f"reverse:{upstream.url}", write_rules(tmp_path / "rules"), tmp_path / "new"
    proxy = proxies(mode=mode, rules=rules).ready()
    write_rules(new, policy=closed("Two."), bundle=version("2.0.0"))

    change = Changing(proxy)
    done("activate", new, "--state", proxy.state, "--note", "INC-7")
    change.in_force()
    assert message(proxy) == "Two."

    change = Changing(proxy)
    done("rollback", "--state", proxy.state)
    change.in_force()
    assert message(proxy) == "allowed"

    change = Changing(proxy)
    write_rules(rules, policy=closed("Three."), bundle=version("3.0.0"))
    change.in_force()
    change = Changing(proxy)
    done("rollback", "--state", proxy.state)
    change.in_force()
    assert message(proxy) == "allowed"
    assert proxy.stop() == 0

    again = proxies(mode=mode, rules=rules, state=proxy.state).ready()
    assert message(again) == "allowed", "the folder still holds what was rolled back from"
    assert history(again) == [
        ("folder", "1.0.0"),
        ("activate", "2.0.0"),
        ("rollback", "1.0.0"),
        ("folder", "3.0.0"),
        ("rollback", "1.0.0"),
    ]
    change = Changing(again)
    write_rules(rules, policy=closed("Mended."), bundle=version("3.0.1"))
    change.in_force()
    assert message(again) == "Mended."


def test_a_folder_that_is_not_followed_leaves_the_commands(proxies: Start, upstream: Upstream, tmp_path: Path) -> None:
    rules = write_rules(tmp_path / "rules")
    proxy = proxies("--set", "headgate_follow=false", mode=f"reverse:{upstream.url}", rules=rules).ready()
    write_rules(rules, policy=closed("Folder."), bundle=version("1.1.0"))
    change = Changing(proxy)
    done(
        "activate",
        write_rules(tmp_path / "new", policy=closed("Two."), bundle=version("2.0.0")),
        "--state",
        proxy.state,
    )
    change.in_force()
    assert message(proxy) == "Two."
    assert history(proxy) == [("folder", "1.0.0"), ("activate", "2.0.0")]


def test_a_start_with_a_broken_folder_runs_the_last_good_rules_and_says_so(
    proxies: Start, upstream: Upstream, tmp_path: Path
) -> None:
    mode, rules = f"reverse:{upstream.url}", write_rules(tmp_path / "rules", policy=closed("Good."))
    first = proxies(mode=mode, rules=rules).ready()
    sha256 = re.findall(r"guards with rules `test` 1\.0\.0\+([0-9a-f]{8})", first.output.text)
    assert first.stop() == 0
    (rules / "policy.yaml").write_text(BROKEN)

    proxy = proxies(mode=mode, rules=rules, state=first.state, admin="127.0.0.1:0").ready()
    assert message(proxy) == "Good."
    assert re.findall(r"guards with rules `test` 1\.0\.0\+([0-9a-f]{8})", proxy.output.text) == sha256
    proxy.output.wait_for(r"the last good ones are taken from the state:\s+rules/policy\.yaml:2:")
    assert (health(proxy)["status"], health(proxy)["degraded"]) == ("degraded", "rules-refused")
    (refused, _) = done("history", "--state", proxy.state)
    assert (refused["how"], refused["active"]) == ("refused", False)
    assert "`perhaps`" in refused["note"]

    change = Changing(proxy)
    write_rules(rules, policy=closed("Mended."))
    change.in_force()
    assert message(proxy) == "Mended."
    assert health(proxy)["status"] == "ok"


def test_a_pinned_rule_stays_until_somebody_unpins_it(proxies: Start, upstream: Upstream, tmp_path: Path) -> None:
    rules = write_rules(tmp_path / "rules", policy=PINNED)
    proxy = proxies(mode=f"reverse:{upstream.url}", rules=rules, admin="127.0.0.1:0").ready()
    change = Changing(proxy)
    loose = "rules:\n  - {id: support-may, effect: allow, match: {principal: {groups: [support]}, target: api}}\n"
    write_rules(rules, policy=loose, bundle=version("1.1.0"))
    change.refused("pinned rule `nobody-deletes` removed")
    assert health(proxy)["degraded"] == "rules-refused"
    assert proxy.request("DELETE", "/customers/7").status_code == 403

    change = Changing(proxy)
    done("activate", rules, "--state", proxy.state, "--unpin")
    change.in_force()
    assert proxy.request("DELETE", "/customers/7").status_code != 403
    assert health(proxy)["status"] == "ok"
    assert history(proxy) == [("folder", "1.0.0"), ("refused", "1.1.0"), ("activate", "1.1.0")]


def test_rules_that_fail_their_own_tests_do_not_come_into_force(
    proxies: Start, upstream: Upstream, tmp_path: Path
) -> None:
    tests = (
        "tests:\n  - name: nobody deletes\n    principal: {kind: human, id: ana, groups: [support], environment: dev}\n"
        '    request: {method: DELETE, url: "http://127.0.0.1/customers/7"}\n    expect: {effect: deny}\n'
    )
    rules = write_rules(tmp_path / "rules", policy=RULES["policy.yaml"] + tests)
    proxy = proxies(mode=f"reverse:{upstream.url}", rules=rules, admin="127.0.0.1:0").ready()
    change = Changing(proxy)
    write_rules(rules, policy=RULES["policy.yaml"].replace("method: DELETE", "path: /deleted") + tests)
    change.refused("fail 1 of their own tests")
    change.refused("test `nobody deletes`: expected effect deny, got allow")
    assert proxy.request("DELETE", "/customers/7").status_code == 403
    assert health(proxy)["degraded"] == "rules-refused"
    assert history(proxy) == [("folder", "1.0.0"), ("refused", "1.0.0")]


def test_a_lower_version_is_refused(proxies: Start, upstream: Upstream, tmp_path: Path) -> None:
    rules = write_rules(tmp_path / "rules", bundle=version("1.1.0"))
    proxy = proxies(mode=f"reverse:{upstream.url}", rules=rules).ready()
    change = Changing(proxy)
    write_rules(rules, policy=closed("Old."), bundle=version("1.0.0"))
    change.refused("version 1.0.0 is lower than 1.1.0")
    assert message(proxy) == "allowed"


# ----------------------------------------------------------------------------------------------------------- signatures


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with a key pair, `rules.pem` and `rules.pub`."""
    private = ed25519.Ed25519PrivateKey.generate()
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "rules.pem").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "rules.pem").chmod(0o600)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "rules.pub").write_bytes(public)
    return folder


def test_where_a_key_is_required_no_other_rules_come_into_force(
    proxies: Start, upstream: Upstream, tmp_path: Path, keys: Path
) -> None:
    mode, option = f"reverse:{upstream.url}", ("--set", f"headgate_rules_key={keys / 'rules.pub'}")
    rules = write_rules(tmp_path / "rules", policy=closed("Signed."))
    done("sign", rules, "--key", keys / "rules.pem")
    proxy = proxies(*option, mode=mode, rules=rules).ready()

    change = Changing(proxy)
    write_rules(rules, bundle=version("1.1.0"))
    change.refused("no signature is valid under the required key")
    new = write_rules(tmp_path / "new", bundle=version("1.2.0"))
    change = Changing(proxy)
    done("activate", new, "--state", proxy.state)
    change.refused("are not signed")
    assert message(proxy) == "Signed."
    assert proxy.stop() == 0

    again = proxies(*option, mode=mode, rules=rules, state=proxy.state).ready()
    assert message(again) == "Signed."
    change = Changing(again)
    done("sign", new, "--key", keys / "rules.pem")
    done("activate", new, "--state", proxy.state)
    change.in_force()
    assert message(again) == "allowed"


def test_a_start_without_the_required_signature_fails(attempt: Start, tmp_path: Path, keys: Path) -> None:
    rules = write_rules(tmp_path / "rules")
    (problem,) = ended(attempt("--set", f"headgate_rules_key={keys / 'rules.pub'}", rules=rules))
    assert "are not signed" in problem


@pytest.mark.parametrize("place", ["rules/rules.pub", "keys/rules.pem", "keys/gone.pub"])
def test_a_start_without_a_usable_key_fails(attempt: Start, tmp_path: Path, keys: Path, place: str) -> None:
    """Above all with none that the rules bring along."""
    rules = write_rules(tmp_path / "rules")
    (rules / "rules.pub").write_bytes((keys / "rules.pub").read_bytes())
    done("sign", rules, "--key", keys / "rules.pem")
    (problem,) = ended(attempt("--set", f"headgate_rules_key={tmp_path / place}", rules=rules))
    assert problem.startswith(f"the key `{tmp_path / place}`")
    assert "PRIVATE" not in problem


# ---------------------------------------------------------------------------------------------------- reload under load

CLIENTS, CHANGES = 4, 6
FIELDS = {"a": "first", "b": "second"}
"""Which field of an answer each of the two bundles masks; its rules also say its name to the upstream."""


def side(folder: Path, name: str) -> Path:
    """One of the two bundles."""
    rules = (
        f"{{id: may-{name}, effect: allow, match: {{target: api}}, set_headers: {{X-Rules: {name}}}}}",
        f"{{id: no-{name}, effect: deny, match: {{path: /closed}}, message: by {name}}}",
    )
    mask = f'{{id: m, match: {{target: api}}, fields: ["$.{FIELDS[name]}"]}}'
    return write_rules(folder / name, policy=f"rules: [{', '.join(rules)}]\n", masking=f"masks: [{mask}]\n")


class Client(threading.Thread):
    """Asks again and again on one connection; what it got is in `answers`."""

    def __init__(self, proxy: Proxy, number: int, stopped: threading.Event) -> None:
        super().__init__()
        self._connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=PATIENCE)
        self._connection.connect()
        self._connection.auto_open = 0  # a connection that was closed stays closed
        self._headers = {"Authorization": f"Bearer {proxy.token()}"}
        self._number, self._stopped = number, stopped
        self.answers: list[tuple[str, int, Any]] = []
        self.failed: Exception | None = None

    def run(self) -> None:
        try:
            while not self._stopped.is_set():
                path = "/closed" if len(self.answers) % 5 == 4 else f"/items/{self._number}-{len(self.answers)}"
                self._connection.request("GET", path, headers=self._headers)
                answer = self._connection.getresponse()
                self.answers.append((path, answer.status, json.loads(answer.read())))
        except Exception as error:  # noqa: BLE001 - the test shows it
            self.failed = error
        finally:
            self._connection.close()


def judged_by(path: str, status: int, body: Any, told: dict[str, str]) -> set[str]:
    """Which bundles had a part in an answer; `told` is which of them the upstream was told of."""
    if path == "/closed":
        assert status == 403, body
        return {body["rule"].removeprefix("no-"), body["detail"].removeprefix("by ")}
    assert status == 200, body
    masked = {name for name, field in FIELDS.items() if body[field] != "plain"}
    return masked | {told[path]}


def test_while_rules_change_no_request_is_dropped_or_judged_by_halves_of_two(
    proxies: Start, upstream: Upstream, tmp_path: Path
) -> None:
    sides = {name: side(tmp_path, name) for name in FIELDS}
    link = tmp_path / "rules"
    link.symlink_to(sides["a"])
    body = json.dumps(dict.fromkeys(FIELDS.values(), "plain")).encode()
    upstream.replies = _Any(Reply(body))
    proxy = proxies(mode=f"reverse:{upstream.url}", rules=link).warm("/items/warm")
    upstream.seen.clear()

    stopped = threading.Event()
    clients = [Client(proxy, number, stopped) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        for at in range(CHANGES):
            change = Changing(proxy)
            fresh = tmp_path / "fresh"
            fresh.symlink_to(sides["ba"[at % 2]])
            fresh.rename(link)
            change.in_force()
    finally:
        stopped.set()
        for client in clients:
            client.join(PATIENCE)

    assert [client.failed for client in clients] == [None] * CLIENTS
    told = {seen.path: seen.header("X-Rules")[0] for seen in upstream.seen}
    found = [judged_by(*answer, told) for client in clients for answer in client.answers]
    assert all(len(names) == 1 for names in found)
    assert set().union(*found) == {"a", "b"}
    assert min(len(client.answers) for client in clients) > CHANGES
    assert len(upstream.seen) == sum(path != "/closed" for client in clients for path, *_ in client.answers)
    assert [how for how, _ in history(proxy)] == ["folder"] * (CHANGES + 1)


class _Any(dict[str, Reply]):
    """The same reply on every path."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self._reply = reply

    def get(self, *_: Any) -> Reply:
        return self._reply
