"""git and pip through the forward proxy: what agents and jobs fetch, and what a rule keeps them from."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.canary import CANARY
from tests.e2e.certificates import Certificates
from tests.e2e.clients import environment, names, run
from tests.e2e.conftest import Start
from tests.e2e.packages import FILE, INDEX, VERSION, WHEEL, index
from tests.e2e.proxy import Proxy, write_rules
from tests.e2e.repository import FILE as GREETING
from tests.e2e.repository import IDENTITY, GitServer, make_repository
from tests.e2e.upstream import Upstream

SCHEMES = ("http", "https")

# As README.md has it: git fetches with these three, and pip by GET. Masks are for the API alone: a pack or a wheel
# cannot be masked, and what is due and cannot be masked is withheld.
POLICY = """
rules:
  - {id: git-reads-refs, effect: allow, match: {target: git, method: GET, path: "/{repository...}/info/refs"}}
  - {id: git-fetches, effect: allow, match: {target: git, method: POST, path: "/{repository...}/git-upload-pack"}}
  - {id: git-never-pushes, effect: deny, match: {target: git, path: "/{repository...}/git-receive-pack"}}
  - {id: pip-downloads, effect: allow, match: {target: packages, method: GET}}
  - {id: not-this-one, effect: deny, match: {target: packages, path: "/files/unwanted-1.0-py3-none-any.whl"}}
"""
MASKING = 'masks: [{id: personal-data, match: {target: api}, fields: ["$..ssn"]}]\n'


@pytest.fixture(scope="module")
def git_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    server = GitServer(make_repository(tmp_path_factory.mktemp("served") / "sample"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tls_git_server(git_server: GitServer, certificates: Certificates) -> Iterator[GitServer]:
    server = GitServer(git_server.repository, certificates.server())
    yield server
    server.stop()


@pytest.fixture(scope="module")
def stranger() -> Iterator[Upstream]:
    """A service that no rule knows."""
    server = Upstream()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def proxy(
    proxies: Start,
    git_server: GitServer,
    tls_git_server: GitServer,
    upstream: Upstream,
    tls_upstream: Upstream,
    certificates: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Proxy:
    def target(name: str, *servers: GitServer | Upstream) -> str:
        hosts = ", ".join(f'"127.0.0.1:{server.port}"' for server in servers)
        return f"  - {{name: {name}, hosts: [{hosts}], environment: dev}}\n"

    rules = write_rules(
        tmp_path_factory.mktemp("rules"),
        targets="targets:\n"
        + target("git", git_server, tls_git_server)
        + target("packages", upstream, tls_upstream)
        + "  - {name: api, hosts: [api.example.org], environment: dev}\n",
        policy=POLICY,
        masking=MASKING,
    )
    trust = f"ssl_verify_upstream_trusted_ca={certificates.authority}"
    return proxies("--set", trust, mode="regular", rules=rules).ready()


# -- git ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=SCHEMES)
def served(request: pytest.FixtureRequest, git_server: GitServer, tls_git_server: GitServer) -> GitServer:
    server = tls_git_server if request.param == "https" else git_server
    server.seen.clear()
    return server


def git(proxy: Proxy, token: str | None, *arguments: str, cwd: Path) -> tuple[int, str]:
    alone = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": ""}
    return run("git", *arguments, environment=environment(proxy, token) | alone, cwd=cwd)


def test_git_clones(proxy: Proxy, served: GitServer, tmp_path: Path) -> None:
    header = f"http.extraHeader=Authorization: Bearer {CANARY}"
    code, said = git(proxy, proxy.token(), "-c", header, "clone", served.url, "copy", cwd=tmp_path)
    assert code == 0, said
    assert (tmp_path / "copy" / GREETING).read_text() == "hello\n"
    assert "POST /git-upload-pack" in served.paths()
    for seen in served.seen:
        assert seen.header("authorization") == [f"Bearer {CANARY}"]
        assert not [name for name, _ in seen.headers if name.lower().startswith("proxy")]


@pytest.mark.parametrize("served", ["https"], indirect=True)
def test_git_takes_its_proxy_from_its_configuration(proxy: Proxy, served: GitServer, tmp_path: Path) -> None:
    given = environment(proxy, proxy.token())
    configured = ("-c", f"http.proxy={given.pop('http_proxy')}", "-c", f"http.sslCAInfo={given.pop('GIT_SSL_CAINFO')}")
    del given["https_proxy"]
    code, said = run(
        "git", *configured, "ls-remote", served.url, environment=given | {"GIT_CONFIG_NOSYSTEM": "1"}, cwd=tmp_path
    )
    assert code == 0, said
    assert "refs/heads/main" in said


def test_git_says_407_without_a_token_that_verifies(proxy: Proxy, served: GitServer, tmp_path: Path) -> None:
    for token in (None, proxy.token(aud="another-service")):
        code, said = git(proxy, token, "clone", served.url, "copy", cwd=tmp_path)
        assert code != 0
        assert names(said, 407), said
    assert served.seen == []


def test_git_may_fetch_but_not_push(proxy: Proxy, served: GitServer, tmp_path: Path) -> None:
    token = proxy.token()
    git(proxy, token, "clone", served.url, "copy", cwd=tmp_path)
    copy = tmp_path / "copy"
    git(proxy, token, *IDENTITY, "commit", "--allow-empty", "-m", "Second", cwd=copy)
    code, said = git(proxy, token, "push", "origin", "main:other", cwd=copy)
    assert code != 0
    assert names(said, 403), said
    assert "GET /info/refs?service=git-receive-pack" in served.paths(), "the tunnel itself was open"
    assert "POST /git-receive-pack" not in served.paths()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_git_gets_403_of_a_server_that_no_rule_knows(
    proxy: Proxy, stranger: Upstream, tmp_path: Path, scheme: str
) -> None:
    url = f"{scheme}://127.0.0.1:{stranger.port}/team/sample.git"
    code, said = git(proxy, proxy.token(), "clone", url, "copy", cwd=tmp_path)
    assert code != 0
    assert names(said, 403), said
    assert stranger.connections == 0


# -- pip ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=SCHEMES)
def packages(request: pytest.FixtureRequest, upstream: Upstream, tls_upstream: Upstream) -> Upstream:
    server = tls_upstream if request.param == "https" else upstream
    server.replies = index()
    return server


def pip(proxy: Proxy, token: str | None, url: str, folder: Path, wanted: str, *options: str) -> tuple[int, str]:
    """`pip download` of one package from the index at `url`, and from nowhere else."""
    alone = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_NO_INPUT": "1",
        "PIP_RETRIES": "1",
    }
    words = ("-m", "pip", "download", *options, "--no-deps", "--index-url", url, "--dest", str(folder), wanted)
    return run(sys.executable, *words, environment=environment(proxy, token) | alone)


def test_pip_downloads(proxy: Proxy, packages: Upstream, tmp_path: Path) -> None:
    url = packages.url.replace("//", f"//agent:{CANARY}@") + "/simple/"
    code, said = pip(proxy, proxy.token(), url, tmp_path, f"tiny-sample=={VERSION}")
    assert code == 0, said
    assert (tmp_path / WHEEL).read_bytes() == packages.replies[FILE].body
    assert packages.paths() == [f"GET {INDEX}", f"GET {FILE}"]
    for seen in packages.seen:
        assert seen.header("authorization")[0].startswith("Basic "), "what is for the index gets there"
        assert not [name for name, _ in seen.headers if name.lower().startswith("proxy")]


@pytest.mark.parametrize(("packages", "options"), [("http", ["-vv"]), ("https", [])], indirect=["packages"])
def test_pip_says_407_without_a_token_that_verifies(
    proxy: Proxy, packages: Upstream, tmp_path: Path, options: list[str]
) -> None:
    """Of an index on plain HTTP it says only when asked that it could not be read."""
    token = proxy.token(aud="another-service")
    code, said = pip(proxy, token, packages.url + "/simple/", tmp_path, "tiny-sample", *options)
    assert code != 0
    assert names(said, 407), said
    assert options or "audience-mismatch" in said
    assert packages.connections == 0


@pytest.mark.parametrize("packages", ["https"], indirect=True)
def test_pip_is_refused_the_one_file_that_a_rule_names(proxy: Proxy, packages: Upstream, tmp_path: Path) -> None:
    unwanted = WHEEL.replace("tiny_sample", "unwanted")
    page = packages.replies.pop(INDEX)
    page.body = page.body.replace(WHEEL.encode(), unwanted.encode())
    packages.replies["/simple/unwanted/"] = page
    code, said = pip(proxy, proxy.token(), packages.url + "/simple/", tmp_path, "unwanted")
    assert code != 0
    assert names(said, 403), said
    assert packages.paths() == ["GET /simple/unwanted/"]


def test_pip_gets_403_of_an_index_that_no_rule_knows(proxy: Proxy, stranger: Upstream, tmp_path: Path) -> None:
    url = f"https://127.0.0.1:{stranger.port}/simple/"
    code, said = pip(proxy, proxy.token(), url, tmp_path, "tiny-sample")
    assert code != 0
    assert "403 Forbidden (unknown-target)" in said
    assert stranger.connections == 0
