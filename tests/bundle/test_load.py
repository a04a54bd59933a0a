"""A rules folder becomes a bundle, or one report of all its problems: cases/bundle-problems.yaml."""

import os
from contextlib import suppress
from dataclasses import FrozenInstanceError
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.identity.pki import authority

from headgate.bundle.load import Bundle, label, load_bundle
from headgate.errors import BundleError
from headgate.identity import dsse
from headgate.identity.releaselist import write_list
from headgate.model import BundleRef, Effect

CASES = yaml.safe_load((Path(__file__).parent.parent / "cases" / "bundle-problems.yaml").read_text(encoding="utf-8"))

GOOD = {
    "bundle.yaml": "name: payments-guard\nversion: 1.4.0\n",
    "identity.yaml": "providers: [{name: dev, preset: development, audiences: [payments]}]\n",
    "targets.yaml": "targets: [{name: api, hosts: [api.internal], environment: prod}]\n",
    "policy.yaml": "rules:\n- id: reads\n  effect: allow\n  match: {target: api, method: GET}\n",
    "masking.yaml": "masks: []\n",
}


def write(folder: Path, files: dict[str, str | bytes | None]) -> Path:
    for name, content in (GOOD | files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def report(folder: Path) -> list[str]:
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    return str(caught.value).splitlines()


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return write(tmp_path / "rules", {})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_the_report_names_every_problem_and_what_is_accepted(case: dict[str, Any], tmp_path: Path) -> None:
    assert report(write(tmp_path / "rules", case["files"])) == case["report"]


def test_a_good_folder_becomes_one_bundle(rules: Path) -> None:
    bundle = load_bundle(rules)
    assert (bundle.name, bundle.version, len(bundle.sha256)) == ("payments-guard", "1.4.0", 64)
    (rule,) = bundle.policy.rules
    assert (rule.ref.id, rule.ref.effect, rule.ref.file, rule.ref.line) == (
        "reads",
        Effect.ALLOW,
        "rules/policy.yaml",
        2,
    )
    assert bundle.targets.known_names() == {"api"}
    assert bundle.masking.masks == ()
    with pytest.raises(FrozenInstanceError):
        bundle.version = "2.0.0"  # type: ignore[misc]


def test_policy_may_be_a_folder_of_files(tmp_path: Path) -> None:
    one = "rules: [{id: one, effect: allow, match: {}}]\n"
    two = "# the second\nrules:\n- {id: two, effect: deny, match: {}}\n"
    folder = write(tmp_path / "rules", {"policy.yaml": None, "policy/1.yaml": one, "policy/2.yaml": two})
    refs = [(rule.ref.id, rule.ref.file, rule.ref.line) for rule in load_bundle(folder).policy.rules]
    assert refs == [("one", "rules/policy/1.yaml", 1), ("two", "rules/policy/2.yaml", 3)]


def test_the_unknown_target_may_be_named_where_it_is_allowed(tmp_path: Path) -> None:
    files = {
        "targets.yaml": "targets: []\nunknown: allow\n",
        "policy.yaml": "rules: [{id: a, effect: deny, match: {target: unknown}}]",
    }
    assert load_bundle(write(tmp_path / "rules", files)).targets.allow_unknown


def test_other_files_may_lie_beside(rules: Path) -> None:
    write(rules, {"keys/corp.json": "{}", "README.md": "x", ".policy.yaml.swp": "\x00", "openapi/api.yaml": "a: b"})
    (rules / ".#policy.yaml").symlink_to("ana@host.1234")
    assert load_bundle(rules).name == "payments-guard"


def test_a_folder_without_masks_must_say_so(rules: Path) -> None:
    """A masking.yaml that got lost must not unmask everything: what was in force before stays."""
    (rules / "masking.yaml").unlink()
    (problem,) = report(rules)
    assert problem.startswith("rules/masking.yaml: the file is missing")
    assert "`masks: []`" in problem


def test_links_to_files_are_files(rules: Path, tmp_path: Path) -> None:
    (rules / "policy.yaml").rename(tmp_path / "elsewhere.yaml")
    (rules / "policy.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    assert len(load_bundle(rules).policy.rules) == 1


def test_a_link_to_nothing_is_reported(rules: Path) -> None:
    (rules / "masking.yaml").unlink()
    (rules / "masking.yaml").symlink_to("gone")
    assert report(rules) == ["rules/masking.yaml: the file cannot be read: no such file or folder"]


def test_a_pipe_is_not_waited_for(rules: Path) -> None:
    (rules / "masking.yaml").unlink()
    os.mkfifo(rules / "masking.yaml")
    assert report(rules) == ["rules/masking.yaml: this is not a file; accepted: a file, or a link to one"]


def test_a_file_that_is_not_utf8_is_reported_where_it_breaks(rules: Path) -> None:
    write(rules, {"bundle.yaml": "name: n\nversion: Ä".encode("latin-1")})
    assert report(rules) == ["rules/bundle.yaml:2:10: not UTF-8; accepted: UTF-8"]


def test_a_byte_order_mark_is_no_problem(rules: Path) -> None:
    write(rules, {"bundle.yaml": "\ufeffname: n\r\nversion: 1.0.0\r\n"})
    assert load_bundle(rules).name == "n"


def test_a_file_that_is_too_large_is_not_read(rules: Path) -> None:
    write(rules, {"policy.yaml": b"#" * (5 * (1 << 20) + 1)})
    assert report(rules) == ["rules/policy.yaml: the rules are larger than 5 MB up to here; accepted: up to 5 MB"]


def test_files_that_are_too_large_together_are_not_read(rules: Path) -> None:
    write(rules, {f"policy/{name}.yaml": b"rules: []\n#" + b"#" * (2 << 20) for name in ("a", "b", "c")})
    assert report(rules) == ["rules/policy/c.yaml: the rules are larger than 5 MB up to here; accepted: up to 5 MB"]


def test_too_many_rules_are_refused_with_the_limit(rules: Path) -> None:
    listed = "".join(f"- {{id: r{at}, effect: deny, match: {{}}}}\n" for at in range(20_001))
    write(rules, {"policy.yaml": f"rules:\n{listed}"})
    accepted = "accepted: up to 20,000"
    assert report(rules) == [f"rules: there are more than 20,000 rules, limits and tests; {accepted}"]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_a_file_that_nests_without_end_is_stopped(rules: Path, opening: str) -> None:
    write(rules, {"policy.yaml": opening * 20_000})
    (line,) = report(rules)
    assert "nested deeper than 32 levels; accepted: up to 32" in line


def test_a_missing_folder_is_reported_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    accepted = "accepted: a folder with bundle.yaml and more"
    assert report(Path("nowhere")) == [f"nowhere: the folder cannot be read: no such file or folder; {accepted}"]
    Path("file").touch()
    assert report(Path("file")) == [f"file: the folder cannot be read: not a folder; {accepted}"]


def test_the_folder_is_named_as_it_was_given(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(rules, {"bundle.yaml": "name: n\n"})
    monkeypatch.chdir(rules)
    assert report(Path("."))[0].startswith("rules/bundle.yaml:1:1: ")
    assert report(Path("../rules"))[0].startswith("rules/bundle.yaml:1:1: ")


def test_the_hash_is_of_the_content_and_not_of_the_layout(rules: Path) -> None:
    before = load_bundle(rules).sha256
    write(rules, {"policy.yaml": "# reads\nrules: [{match: {method: GET, target: api}, effect: allow, id: reads}]"})
    assert load_bundle(rules).sha256 == before
    write(rules, {"policy.yaml": "rules: [{match: {method: PUT, target: api}, effect: allow, id: reads}]"})
    assert load_bundle(rules).sha256 != before


def test_the_hash_covers_the_files_that_are_named(rules: Path) -> None:
    keys = '{"keys": [{"kty": "EC", "crv": "P-256", "kid": "%s", "x": "%s", "y": "%s"}]}'
    point = (
        "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    )  # RFC 7515, appendix A.3.1
    provider = (
        "{name: sso, preset: oidc, issuer: 'https://sso.example', audiences: [a], algorithms: [ES256], kind: human"
    )
    hashes = []
    for kid in ("one", "two"):
        files = {"identity.yaml": f"providers: [{provider}, jwks: 'file:keys/sso.json'}}]\n"}
        write(rules, files | {"keys/sso.json": keys % (kid, *point)})
        hashes.append(load_bundle(rules).sha256)
    assert hashes[0] != hashes[1]


def test_the_hash_covers_the_authorities_and_the_release_list(rules: Path) -> None:
    """And the pinned keys and pods: each of them decides who is believed."""
    key, leaf = ed25519.Ed25519PrivateKey.generate(), authority("corp")
    mesh = "providers: [{name: mesh, preset: mtls, ca: 'file:ca.pem'}]\n"
    block = "releases: {file: releases.json, keys: [release.pub], pods: pods.json}\n"
    listed = write_list({"revision": 1, "releases": []})
    contents = {
        "ca.pem": leaf.pem,
        "release.pub": key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "releases.json": dsse.sign(listed, key),
        "pods.json": b"{}",
    }
    write(rules, {"identity.yaml": mesh + block, **contents})
    first = load_bundle(rules)
    assert {path.name for path in first.files} >= set(contents)
    changed = {
        "ca.pem": leaf.pem + b"\n",
        "release.pub": contents["release.pub"] + b"\n",
        "releases.json": contents["releases.json"] + b"\n",
        "pods.json": b"{ }",
    }
    hashes = {first.sha256}
    for name, content in changed.items():
        write(rules, {"identity.yaml": mesh + block, **contents, name: content})
        hashes.add(load_bundle(rules).sha256)
    assert len(hashes) == 5


def test_a_label_shows_version_and_hash() -> None:
    assert label(BundleRef("n", "1.4.0", "0123456789abcdef")) == "1.4.0+01234567"
    assert label(BundleRef("n", "1.4.0+build.7", "0123456789abcdef")) == "1.4.0+build.7.01234567"


def test_no_value_below_a_secret_key_is_shown(rules: Path) -> None:
    provider = (
        "{name: a, preset: oidc, issuer: i, audiences: [a], algorithms: [ES256], kind: human, jwks_secret: hunter2"
    )
    write(rules, {"identity.yaml": f"providers: [{provider}, token: hunter2, jwks: 'https://u:hunter2@x/'}}]\n"})
    assert "hunter2" not in "\n".join(report(rules))


def test_what_a_file_says_cannot_take_over_a_terminal(rules: Path) -> None:
    write(rules, {"policy.yaml": r'rules: [{id: "a\n\e[2J", effect: deny, match: {target: "\e]0;x\a", "\e[2J": 1}}]'})
    lines = report(rules)
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


WORDS = "rules id a effect allow match principal not target no ~ 1 é"
SIGNS = [
    ": ",
    "\n",
    "  ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\t",
    "'",
    '"',
    "&a ",
    "*a",
    "!t ",
    "---\n",
    "#",
    "|",
    "<<",
    "\x85",
]
TEXTS = st.lists(st.sampled_from(WORDS.split() + SIGNS), max_size=25).map("".join) | st.text(max_size=30)


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_whatever_stands_in_a_file_there_is_a_bundle_or_a_report(text: str) -> None:
    with TemporaryDirectory() as folder, suppress(BundleError):
        rules = write(Path(folder) / "rules", {"policy.yaml": text.encode("utf-8", "replace")})
        assert isinstance(load_bundle(rules), Bundle)


RECOGNIZERS = """recognizers:
  - name: badge
    type: custom
    supported_entity: BADGE_NUMBER
    patterns: [{name: badge, regex: "\\\\bB-[0-9]{6}\\\\b", score: 0.8}]
"""


def test_custom_recognizers_are_part_of_the_bundle(tmp_path: Path) -> None:
    masks = "masks: [{id: badges, match: {}, detect: [BADGE_NUMBER]}]\nrecognizers: recognizers.yaml\n"
    folder = write(tmp_path / "rules", {"masking.yaml": masks, "recognizers.yaml": RECOGNIZERS})
    bundle = load_bundle(folder)
    assert bundle.contents["recognizers.yaml"] == RECOGNIZERS.encode()
    (folder / "recognizers.yaml").write_text(RECOGNIZERS.replace("{6}", "{7}"))
    assert load_bundle(folder).sha256 != bundle.sha256


def test_a_file_of_recognizers_that_nobody_names_is_told(tmp_path: Path) -> None:
    (told,) = report(write(tmp_path / "rules", {"recognizers.yaml": RECOGNIZERS}))
    assert told.startswith("rules/recognizers.yaml: this is not a file of a bundle")


def test_problems_of_recognizers_name_their_place(tmp_path: Path) -> None:
    masks = "masks: [{id: badges, match: {}, detect: [BADGE_NUMBER]}]\nrecognizers: recognizers.yaml\n"
    broken = RECOGNIZERS.replace("0.8", "8")
    told = report(write(tmp_path / "rules", {"masking.yaml": masks, "recognizers.yaml": broken}))
    assert any("`recognizers.yaml`: line 5, column" in line for line in told)
