"""`headgate releases`: a list is checked, signed, verified and shown; nothing goes back or is overwritten."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from headgate import bundled
from headgate.cli.main import main
from headgate.identity.dsse import public_key, sign, verify
from headgate.identity.releaselist import parse_list

DIGEST = "sha256:" + "9f" * 32
LIST = f"""\
revision: 12
releases:
  - environment: prod
    workload: billing
    commit: "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    image_digest: "{DIGEST}"
    workflow: octo/billing/.github/workflows/release.yml@refs/heads/main
    not_after: "2100-01-31T00:00:00Z"
  - {{environment: staging, workload: billing, commit: {"c2" * 20}, not_after: 2020-01-31T00:00:00Z}}
"""


def run(*arguments: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["releases", *map(str, arguments)], input=stdin)


def write_key(folder: Path, name: str, private: Any) -> None:
    pem = folder / f"{name}.pem"
    pem.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    pem.chmod(0o600)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A list and two key pairs."""
    (tmp_path / "list.yaml").write_text(LIST)
    write_key(tmp_path, "release", ed25519.Ed25519PrivateKey.generate())
    write_key(tmp_path, "other", ec.generate_private_key(ec.SECP384R1()))
    return tmp_path


def signing(desk: Path, *arguments: str, file: str = "list.yaml", key: str = "release") -> Result:
    out = desk / "releases.dsse.json"
    return run("sign", desk / file, "--key", desk / f"{key}.pem", "--out", out, *arguments)


def signed(desk: Path, key: str = "release") -> Path:
    result = signing(desk, key=key)
    assert result.exit_code == 0, result.output
    return desk / "releases.dsse.json"


def rules(desk: Path, block: str = "{file: releases.dsse.json, keys: [release.pub]}") -> Path:
    (desk / "identity.yaml").write_text(f"providers: []\nreleases: {block}\n")
    return desk


# sign


@pytest.mark.parametrize("key", ["release", "other"])
def test_a_list_is_signed_for_whoever_has_the_public_half(desk: Path, key: str) -> None:
    payload = verify(signed(desk, key).read_bytes(), [public_key((desk / f"{key}.pub").read_bytes())])
    listed = parse_list(payload)
    assert listed.revision == 12
    assert [release.environment for release in listed.releases] == ["prod", "staging"]
    assert (listed.releases[0].image_digest, listed.releases[1].commit) == (DIGEST, "c2" * 20)


def test_signing_says_what_was_signed_and_never_the_key(desk: Path) -> None:
    result = signing(desk)
    assert "signed: revision 12, 2 releases (1 expired), sha256 " in result.output
    assert (desk / "release.pem").read_text().splitlines()[1] not in result.output
    report = json.loads(signing(desk, "--json", "--force").output)
    assert (report["revision"], report["count"], report["expired"]) == (12, 2, 1)
    assert len(report["sha256"]) == len(report["keyid"]) == 64


def test_a_list_may_be_json(desk: Path) -> None:
    release = {"environment": "prod", "workload": "web", "commit": "A" * 40, "not_after": "2100-01-31T00:00:00Z"}
    (desk / "list.json").write_text(json.dumps({"revision": 1, "releases": [release]}, indent="\t"))
    assert signing(desk, file="list.json").exit_code == 0


def test_every_problem_of_a_list_is_named_with_its_line(desk: Path) -> None:
    (desk / "list.yaml").write_text(LIST.replace("12", "0").replace('"4b825dc', '"4b').replace("workload", "wrkload"))
    result = signing(desk)
    assert result.exit_code == 1
    for problem in (
        "list.yaml:1:11: not a revision",
        "list.yaml:3:5: `workload` is missing",
        "list.yaml:4:14: unknown member; accepted: `environment`, `workload`",
        "list.yaml:5:13: not a commit",
        "list.yaml:9:5: `workload` is missing",
    ):
        assert problem in result.output
    assert not (desk / "releases.dsse.json").exists()


def test_a_commit_that_yaml_takes_for_a_number_needs_quotes(desk: Path) -> None:
    (desk / "list.yaml").write_text(LIST.replace("c2" * 20, "12" * 20))
    assert "list.yaml:9:55: not text; accepted: text, in YAML with quotes" in signing(desk).output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("revision: 1\nrevision: 2\nreleases: []\n", "list.yaml:2:1: `revision` is given twice"),
        ("revision: [\n", "not YAML"),
        ("", "the file is empty"),
        ("- 1\n", "not a list of releases"),
        ('revision: .nan\nreleases: ["\\ud800"]\n', "list.yaml"),
    ],
)
def test_a_list_that_cannot_be_read_is_not_signed(desk: Path, text: str, message: str) -> None:
    (desk / "list.yaml").write_text(text)
    result = signing(desk)
    assert (result.exit_code, message in result.output) == (1, True), result.output
    assert not (desk / "releases.dsse.json").exists()


def test_a_key_that_others_can_read_does_not_sign(desk: Path) -> None:
    (desk / "release.pem").chmod(0o640)
    result = signing(desk)
    assert result.exit_code == 1
    assert "others may read the key" in result.output
    assert not (desk / "releases.dsse.json").exists()


def test_a_list_is_signed_again_as_it_is_and_with_a_higher_revision(desk: Path) -> None:
    signed(desk)
    signed(desk, "other")
    (desk / "list.yaml").write_text(LIST.replace("12", "13"))
    signed(desk)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("12", "11"), "revision 11 is older than revision 12"),
        (("web", "shop"), "revision 12 was there before with other content"),
    ],
)
def test_a_list_does_not_replace_a_later_one(desk: Path, change: tuple[str, str], message: str) -> None:
    (desk / "list.yaml").write_text(LIST.replace("staging, workload: billing", "staging, workload: web"))
    before = signed(desk).read_bytes()
    (desk / "list.yaml").write_text((desk / "list.yaml").read_text().replace(*change))
    result = signing(desk)
    assert (result.exit_code, message in result.output, "`--force`" in result.output) == (1, True, True)
    assert (desk / "releases.dsse.json").read_bytes() == before
    assert signing(desk, "--force").exit_code == 0
    assert (desk / "releases.dsse.json").read_bytes() != before


def test_what_is_no_list_is_not_overwritten(desk: Path) -> None:
    out = desk / "releases.dsse.json"
    out.write_text("my notes")
    result = signing(desk)
    assert (result.exit_code, "is there and no list of releases" in result.output) == (1, True)
    assert out.read_text() == "my notes"
    assert signing(desk, "--force").exit_code == 0


@pytest.mark.parametrize("name", ["release.pem", "list.yaml"])
def test_what_is_read_is_not_overwritten_even_by_force(desk: Path, name: str) -> None:
    before = (desk / name).read_bytes()
    result = run("sign", desk / "list.yaml", "--key", desk / "release.pem", "--out", desk / name, "--force")
    assert result.exit_code == 2
    assert (desk / name).read_bytes() == before


def test_an_output_that_cannot_be_written_is_one_plain_line(desk: Path) -> None:
    out = desk / "none" / "releases.dsse.json"
    result = run("sign", desk / "list.yaml", "--key", desk / "release.pem", "--out", out)
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    assert "cannot be written: no such file" in result.output


def test_a_list_longer_than_the_proxy_reads_is_not_signed(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "MAX_FILE", (desk / "list.yaml").stat().st_size)
    result = signing(desk)
    assert (result.exit_code, "the signed list is longer than the" in result.output) == (1, True)


def test_who_is_reading_the_list_reads_it_whole(desk: Path) -> None:
    before = signed(desk).read_bytes()
    with signed(desk).open("rb") as reading:
        (desk / "list.yaml").write_text(LIST.replace("12", "13"))
        signed(desk)
        assert reading.read() == before


def test_nothing_is_left_lying_about(desk: Path) -> None:
    before = {path.name for path in desk.iterdir()}
    signed(desk)
    assert {path.name for path in desk.iterdir()} - before == {"releases.dsse.json"}


# verify


def test_a_list_is_verified_with_a_key_or_with_the_rules(desk: Path) -> None:
    file = signed(desk)
    rules(desk)
    for how in (
        [file, "--key", desk / "release.pub"],
        [file, "--key", desk / "other.pub", "--key", desk / "release.pub"],
        [file, "--rules", desk],
        ["--rules", desk],
    ):
        result = run("verify", *how)
        assert result.exit_code == 0, result.output
        assert result.output.startswith("ok: revision 12, 2 releases (1 expired), sha256 ")
        report = json.loads(run("verify", *how, "--json").output)
        assert (report["ok"], report["revision"], report["expired"]) == (True, 12, 1)


def test_a_list_of_a_stranger_is_not_verified(desk: Path) -> None:
    file = signed(desk, "other")
    rules(desk)
    for how in ([file, "--key", desk / "release.pub"], [file, "--rules", desk], ["--rules", desk]):
        result = run("verify", *how)
        assert result.exit_code == 1
        assert "no signature on it is valid under any of the pinned keys" in result.output
        report = run("verify", *how, "--json")
        assert report.exit_code == 1
        assert json.loads(report.output)["ok"] is False
        assert "no signature" in json.loads(report.output)["problems"][0]


def test_a_signed_list_that_has_not_its_form_is_not_verified(desk: Path) -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    write_key(desk, "release", private)
    (desk / "bad.json").write_bytes(sign(b'{"revision": 1, "releases": [{"commit": "abc"}]}', private))
    result = run("verify", desk / "bad.json", "--key", desk / "release.pub")
    assert result.exit_code == 1
    assert "bad.json: releases[0].commit: not a commit" in result.output
    assert "bad.json: releases[0]: `environment` is missing" in result.output


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("{file: none.json, keys: [release.pub]}", "identity.yaml:2:18: file `none.json` cannot be read"),
        ("{file: releases.dsse.json, keys: [release.pub, x.pub]}", "identity.yaml:2:58: file `x.pub` cannot be read"),
        ("{file: releases.dsse.json, keys: [release.pem]}", "it holds a private key"),
        ("{file: releases.dsse.json, keys: [release.pub], pods: pods.json}", "identity.yaml:2:65: file `pods.json`"),
        ("{file: releases.dsse.json}", "identity.yaml:2:11: `keys` is missing"),
        ("{file: releases.dsse.json, keys: [release.pub], kyes: x}", "unknown key `kyes`"),
        ("7", "identity.yaml:2:11"),
    ],
)
def test_what_is_wrong_with_the_rules_is_named_with_its_place(desk: Path, block: str, message: str) -> None:
    signed(desk)
    result = run("verify", "--rules", rules(desk, block))
    assert (result.exit_code, message in result.output) == (1, True), result.output


def test_rules_without_a_list_verify_nothing(desk: Path) -> None:
    (desk / "identity.yaml").write_text("providers: []\n")
    result = run("verify", signed(desk), "--rules", desk)
    assert (result.exit_code, "there is no `releases`" in result.output) == (1, True)


def test_verify_wants_to_know_which_keys_count(desk: Path) -> None:
    file = signed(desk)
    for how in ([file], [file, "--key", desk / "release.pub", "--rules", desk], ["--key", desk / "release.pub"]):
        assert run("verify", *how).exit_code == 2


@pytest.mark.parametrize("name", ["release.pem", "list.yaml", "none.pub"])
def test_what_is_no_public_key_is_one_plain_line(desk: Path, name: str) -> None:
    result = run("verify", signed(desk), "--key", desk / name)
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1


# show


def test_show_lists_every_release_and_warns_that_nobody_vouched_for_it(desk: Path) -> None:
    result = run("show", signed(desk))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("revision 12, 2 releases (1 expired)")
    assert lines[1].split() == ["environment", "workload", "commit", "image", "digest", "workflow", "not", "after"]
    assert DIGEST in lines[2]
    assert lines[2].endswith("2100-01-31T00:00:00Z")
    assert lines[3].split() == ["staging", "billing", "c2" * 20, "-", "-", "2020-01-31T00:00:00Z", "expired"]
    assert "not verified; `--key` names the keys" in result.stderr


def test_show_says_who_signed_it(desk: Path) -> None:
    file = signed(desk)
    good = run("show", file, "--key", desk / "release.pub")
    assert (good.exit_code, good.stderr, "signed by a key given" in good.stdout) == (0, "", True)
    bad = run("show", file, "--key", desk / "other.pub")
    assert (bad.exit_code, "signed by a key given" in bad.stdout) == (1, False)
    assert "no signature on it is valid" in bad.stderr


def test_show_as_json_says_whether_it_is_verified(desk: Path) -> None:
    file = signed(desk)
    for key, verified in ((None, None), ("release.pub", True), ("other.pub", False)):
        found = json.loads(run("show", file, "--json", *([] if key is None else ["--key", desk / key])).stdout)
        assert (found["verified"], found["revision"]) == (verified, 12)
        assert [release["expired"] for release in found["releases"]] == [False, True]
        assert found["releases"][0]["image_digest"] == DIGEST


def test_show_refuses_what_is_no_list(desk: Path) -> None:
    result = run("show", desk / "list.yaml")
    assert result.exit_code == 1
    assert "not a signed envelope" in result.output
    assert run("show", desk / "none.json").exit_code == 1


# pods


def test_pods_keeps_what_the_proxy_needs_of_what_kubectl_prints() -> None:
    running = [{"name": "app", "imageID": f"app@{DIGEST}"}, {"name": "side", "imageID": "sha256:" + "a" * 64}]
    items = [
        {
            "kind": "Pod",
            "metadata": {"uid": "p1"},
            "spec": {"secret": "s3cret"},
            "status": {"containerStatuses": running},
        },
        {"kind": "Pod", "metadata": {"uid": "p0"}, "status": {"containerStatuses": running[:1]}},
        {"kind": "Pod", "metadata": {"uid": "p2"}, "status": {"containerStatuses": [*running, {"name": "new"}]}},
    ]
    result = run("pods", stdin=json.dumps({"kind": "List", "items": items}))
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"p0": DIGEST, "p1": [DIGEST, "sha256:" + "a" * 64]}
    assert "s3cret" not in result.output
    assert "2 pods are known in full" in result.stderr
    assert run("pods", stdin=result.stdout).stdout == result.stdout


def test_pods_refuses_what_kubectl_does_not_print(tmp_path: Path) -> None:
    result = run("pods", stdin='{"items": [7]}')
    assert (result.exit_code, "items[0]: `metadata.uid` is not the uid of a pod" in result.output) == (1, True)
    assert run("pods", tmp_path / "none.json").exit_code == 2


# help


@pytest.mark.parametrize("command", ["sign", "verify", "show", "pods"])
def test_every_command_has_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"headgate releases {command}" in result.output


def test_the_example_of_sign_can_be_signed(desk: Path) -> None:
    text = run("sign", "--help").output
    example = text[text.index("  revision: 12") : text.index("  headgate releases sign")]
    (desk / "list.yaml").write_text("\n".join(line.removeprefix("  ") for line in example.splitlines()) + "\n")
    assert signing(desk).exit_code == 0
