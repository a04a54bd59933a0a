"""Verified code versions: the signed list, the snapshot of pods, and whom they verify."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headgate.bundled import Files
from headgate.errors import InvalidRules
from headgate.identity import dsse
from headgate.identity.pods import parse_pods
from headgate.identity.releaselist import MAX_RELEASES, parse_list, write_list
from headgate.identity.releases import Releases, ReleasesSpec, compile_releases
from headgate.model import Kind, Principal, Workload

NOW = 1_700_000_000.0
KEY = ed25519.Ed25519PrivateKey.generate()
OTHER = ec.generate_private_key(ec.SECP256R1())
SPEC = ReleasesSpec(file="releases.dsse.json", keys=("keys/release.pub",))
WITH_PODS = SPEC.model_copy(update={"pods": "pods.json"})

COMMIT, DIGEST = "4b825dc642cb6eb9a060e54bf8d69288fbee4904", "sha256:" + "9f" * 32
NAMES = {
    "c1": COMMIT,
    "C1": COMMIT.upper(),
    "c1-short": COMMIT[:7],
    "c1-long": COMMIT + "0" * 24,
    "c2": "c2" * 20,
    "c64": "ab" * 32,
    "d1": DIGEST,
    "D1": DIGEST.upper(),
    "d1-bare": DIGEST.removeprefix("sha256:"),
    "d2": "sha256:" + "d2" * 32,
    "w1": "octo/app/.github/workflows/release.yml@refs/heads/main",
    "W1": "octo/app/.github/workflows/Release.yml@refs/heads/main",
    "w2": "octo/app/.github/workflows/other.yml@refs/heads/main",
    "p1": "0a5e2c1d-6f5c-4b1e-9d57-3f1c2b7a9e01",
    "p2": "0a5e2c1d-6f5c-4b1e-9d57-3f1c2b7a9e02",
    "now": "2023-11-14T22:13:20Z",
    "past": "2023-11-14T22:13:19Z",
}
NOTHING = {"name", "environments", "workload", "environment"}


def full(members: dict[str, Any]) -> dict[str, Any]:
    """Short names as what they stand for."""
    return {
        name: NAMES.get(value, value) if isinstance(value, str) and name not in NOTHING else value
        for name, value in members.items()
    }


def entry(**members: Any) -> dict[str, Any]:
    common = {"environment": "prod", "workload": "billing", "not_after": "2100-01-01T00:00:00Z"}
    return {**common, **full(members)}


def document(*entries: dict[str, Any], revision: Any = 7, **members: Any) -> dict[str, Any]:
    return {"revision": revision, "releases": list(entries), **members}


def public_pem(private: Any) -> bytes:
    pem: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def bundle(folder: Path, payload: bytes | dict[str, Any], pods: Any = None, private: dsse.PrivateKey = KEY) -> Path:
    """A folder with all that the block names, the list signed by `private`."""
    (folder / "keys").mkdir(exist_ok=True)
    (folder / "keys" / "release.pub").write_bytes(public_pem(KEY))
    signed = payload if isinstance(payload, bytes) else write_list(payload)
    (folder / "releases.dsse.json").write_bytes(dsse.sign(signed, private))
    if pods is not None:
        (folder / "pods.json").write_text(json.dumps(pods))
    return folder


def problems(folder: Path, spec: ReleasesSpec = SPEC) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(InvalidRules) as caught:
        compile_releases(spec, Files(folder))
    return caught.value.problems


def wrong(folder: Path, payload: bytes | dict[str, Any]) -> list[str]:
    """What is wrong with a list that is signed all the same."""
    found = problems(bundle(folder, payload))
    assert {where for where, _ in found} == {("file",)}
    return [message.removeprefix("file `releases.dsse.json`: ") for _, message in found]


def caller(environments: tuple[str, ...] = ("prod",), **workload: Any) -> Principal:
    code = Workload(**{"name": "billing", **full(workload)})
    return Principal("ci", Kind.CI, "github", environments=frozenset(environments), workload=code)


CASES = yaml.safe_load((Path(__file__).parents[1] / "cases" / "releases.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_a_caller_is_verified_by_what_is_listed_for_its_environments(tmp_path: Path, case: dict[str, Any]) -> None:
    pods = {NAMES[uid]: [NAMES[digest] for digest in digests] for uid, digests in case.get("pods", {}).items()}
    folder = bundle(tmp_path, document(*(entry(**item) for item in case["listed"])), pods or None)
    releases = compile_releases(WITH_PODS if pods else SPEC, Files(folder))
    stated = caller(**case["caller"])
    expected = replace(
        stated.workload,
        verified=case["verified"],
        digest=NAMES[case["digest"]] if "digest" in case else stated.workload.digest,
    )
    assert releases.judged(stated, NOW) == replace(stated, workload=expected)
    claiming = replace(stated, workload=replace(stated.workload, verified=True))
    assert releases.judged(claiming, NOW).workload == expected, "what comes in as verified is judged all the same"


def of(folder: Path, *entries: dict[str, Any], revision: int = 7) -> Releases:
    return compile_releases(SPEC, Files(bundle(folder, document(*entries, revision=revision))))


def test_a_caller_that_does_not_change_is_returned_as_it_is(tmp_path: Path) -> None:
    releases = of(tmp_path, entry(commit="c1"))
    for same in (caller(), caller(commit="c2"), caller(commit="c1", verified=True)):
        assert releases.judged(same, NOW) is same


def test_a_time_that_is_no_number_verifies_nobody(tmp_path: Path) -> None:
    releases = of(tmp_path, entry(commit="c1"))
    assert not releases.judged(caller(commit="c1"), float("nan")).workload.verified


def test_a_list_expires_while_it_is_in_use(tmp_path: Path) -> None:
    releases = of(tmp_path, entry(commit="c1", not_after="now"))
    assert [releases.judged(caller(commit="c1"), NOW + late).workload.verified for late in (0, 0.5)] == [True, False]


def test_only_the_releases_of_that_code_are_looked_at(tmp_path: Path) -> None:
    """The work for one request does not grow with the list, not even with the releases of one workload."""
    entries = [entry(commit=f"{number:040x}", image_digest=f"sha256:{number:064x}") for number in range(300)]
    releases = of(tmp_path, *entries)
    listed = releases.listed["prod", "billing"]
    assert len(listed.by_commit) == len(listed.by_digest) == 300
    assert {len(found) for found in (*listed.by_commit.values(), *listed.by_digest.values())} == {1}


# the block


def test_a_signed_list_says_what_it_was_made_from(tmp_path: Path) -> None:
    files = Files(bundle(tmp_path, document(entry(commit="c1")), pods={}))
    releases = compile_releases(WITH_PODS, files)
    assert releases.revision == 7
    assert releases.digest == parse_list(write_list(document(entry(commit="c1")))).digest
    assert set(files.named) == {"releases.dsse.json", "keys/release.pub", "pods.json"}
    assert COMMIT not in repr(releases)


def test_any_of_several_keys_may_have_signed(tmp_path: Path) -> None:
    bundle(tmp_path, document(entry(commit="c1")), private=OTHER)
    (tmp_path / "keys" / "next.pub").write_bytes(public_pem(OTHER))
    both = ReleasesSpec(file=SPEC.file, keys=("keys/release.pub", "keys/next.pub"))
    assert compile_releases(both, Files(tmp_path)).revision == 7
    assert "no signature" in problems(tmp_path)[0][1]


@pytest.mark.parametrize(
    "block",
    [
        {"file": "x"},
        {"keys": ["x"]},
        {"file": "x", "keys": []},
        {"file": "x", "keys": [""]},
        {"file": "", "keys": ["x"]},
        {"file": "x", "keys": None},
        {"file": "x", "keys": ["x"], "pods": None},
        {"file": "x", "keys": ["x"], "verify": False},
        {"file": ["x"], "keys": ["x"]},
    ],
)
def test_a_block_that_would_leave_something_out_is_refused(block: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ReleasesSpec.model_validate(block)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text.replace('"signatures"', '"was"'), "the envelope is not signed"),
        (lambda text: text + "{}", "not a signed envelope"),
        (lambda text: text.replace("vnd.headgate", "vnd.other"), "the envelope holds something else"),
        (lambda text: text.replace('"payload":', '"payload": "e30=", "payload":'), "no member twice"),
        (lambda text: text[:0], "not a signed envelope"),
    ],
)
def test_an_envelope_that_cannot_be_verified_is_a_problem(
    tmp_path: Path, spoil: Callable[[str], str], message: str
) -> None:
    file = bundle(tmp_path, document(entry(commit="c1"))) / "releases.dsse.json"
    file.write_text(spoil(file.read_text()))
    ((where, said),) = problems(tmp_path)
    assert (where, message in said) == (("file",), True)


def test_a_list_signed_by_a_stranger_is_a_problem(tmp_path: Path) -> None:
    bundle(tmp_path, document(entry(commit="c1")), private=OTHER)
    ((where, said),) = problems(tmp_path)
    assert where == ("file",)
    assert "no signature on it is valid under any of the pinned keys" in said


def test_every_problem_of_every_file_is_named_together(tmp_path: Path) -> None:
    folder = bundle(tmp_path, document(entry(commit="c1", workload="")), pods={"p": "latest"})
    private = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "keys" / "private.pem").write_bytes(private)
    (folder / "keys" / "rsa.pub").write_bytes(public_pem(rsa.generate_private_key(65537, 2048)))
    keys = ("keys/release.pub", "keys/private.pem", "keys/rsa.pub", "../release.pub", "keys/none.pub")
    found = problems(folder, ReleasesSpec(file=SPEC.file, keys=keys, pods="pods.json"))
    assert [where for where, _ in found] == [("keys", 1), ("keys", 2), ("keys", 3), ("keys", 4), ("file",), ("pods",)]
    said = [message for _, message in found]
    for message, expected in zip(
        said, ["private key", "accepted: Ed25519", "not inside", "cannot be read", "workload", "digest"], strict=True
    ):
        assert expected in message
        assert "\n" not in message
    assert private.splitlines()[1].decode() not in "".join(said)


def test_files_that_are_missing_are_each_a_problem(tmp_path: Path) -> None:
    assert [where for where, _ in problems(tmp_path, WITH_PODS)] == [("keys", 0), ("file",), ("pods",)]


def test_a_bundle_pins_up_to_sixteen_keys(tmp_path: Path) -> None:
    folder = bundle(tmp_path, document(entry(commit="c1")))
    assert compile_releases(ReleasesSpec(file=SPEC.file, keys=SPEC.keys * 16), Files(folder)).revision == 7
    found = problems(folder, ReleasesSpec(file=SPEC.file, keys=SPEC.keys * 17))
    assert found == [(("keys",), "more than 16 keys; accepted: up to 16")]


# revisions


def test_a_list_never_follows_a_later_one(tmp_path: Path) -> None:
    seven, other_seven = of(tmp_path, entry(commit="c1")), of(tmp_path, entry(commit="c2"))
    assert seven.accepts(None) is None
    assert seven.accepts((6, other_seven.digest)) is None
    assert seven.accepts((7, seven.digest)) is None
    lower, changed = seven.accepts((8, seven.digest)), seven.accepts((7, other_seven.digest))
    assert lower is not None
    assert "revision 7 is older than revision 8" in lower
    assert changed is not None
    assert "revision 7 was there before with other content" in changed


# the list


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ({"commit": "c1-short"}, "commit: not a commit; accepted: all its 40 or 64 hexadecimal digits"),
        ({"commit": COMMIT + "\n"}, "commit: not a commit"),
        ({"commit": "g" * 40}, "commit: not a commit"),
        ({"commit": int("1" * 40)}, "commit: not text"),
        ({"commit": None}, "commit: a value is missing"),
        ({"image_digest": "D1"}, "image_digest: not an image digest"),
        ({"image_digest": "d1-bare"}, "image_digest: not an image digest"),
        ({"image_digest": "sha512:" + "a" * 128}, "image_digest: not an image digest"),
        ({"image_digest": DIGEST + "\n"}, "image_digest: not an image digest"),
        ({"image_digest": ["d1"]}, "image_digest: not an image digest"),
        ({"workload": ""}, "workload: not a name"),
        ({"workload": " billing"}, "workload: not a name"),
        ({"workload": "bil\u202eling"}, "workload: not a name"),
        ({"workload": "x" * 301}, "workload: not a name"),
        ({"environment": ["prod", "staging"]}, "environment: not text"),
        ({"environment": None}, "environment: a value is missing"),
        ({"workflow": 7}, "workflow: not text"),
        ({"not_after": "2100-01-01"}, "not_after: not a time"),
        ({"not_after": "2100-01-01T00:00:00"}, "not_after: not a time"),
        ({"not_after": "2100-01-01T00:00:00+02:00"}, "not_after: not a time"),
        ({"not_after": "2100-01-01 00:00:00Z"}, "not_after: not a time"),
        ({"not_after": "2100-02-30T00:00:00Z"}, "not_after: not a time"),
        ({"not_after": "\u0662100-01-01T00:00:00Z"}, "not_after: not a time"),
        ({"not_after": 4102444800}, "not_after: not a time"),
        ({"env": "prod"}, "env: unknown member; accepted: `environment`"),
    ],
)
def test_an_entry_is_read_strictly(tmp_path: Path, spoilt: dict[str, Any], message: str) -> None:
    said = wrong(tmp_path, document(entry(commit="c1"), entry(**{"commit": "c1", **spoilt})))
    assert [line.startswith(f"releases[1].{message}") for line in said] == [True], said


def test_a_time_may_have_fractions_of_a_second() -> None:
    (release,) = parse_list(write_list(document(entry(commit="c1", not_after="2023-11-14T22:13:20.250Z")))).releases
    assert release.not_after == NOW + 0.25


@pytest.mark.parametrize("missing", ["environment", "workload", "not_after"])
def test_an_entry_leaves_nothing_open(tmp_path: Path, missing: str) -> None:
    release = entry(commit="c1")
    del release[missing]
    assert wrong(tmp_path, document(release)) == [f"releases[0]: `{missing}` is missing"]


def test_an_entry_names_some_code(tmp_path: Path) -> None:
    (said,) = wrong(tmp_path, document(entry(workflow="w1")))
    assert said == "releases[0]: the release names no code; accepted: `image_digest`, `commit`, or both"


@pytest.mark.parametrize("revision", [0, -1, True, 1.0, "7", None, 2**53])
def test_a_revision_is_a_whole_number_from_one(tmp_path: Path, revision: Any) -> None:
    (said,) = wrong(tmp_path, document(entry(commit="c1"), revision=revision))
    assert said.startswith("revision: ")


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "not a list of releases"),
        (b"[]", "not a list of releases"),
        (b'{"revision": 1, "revision": 2, "releases": []}', "not a list of releases"),
        (b'{"revision": 1, "releases": []} x', "not a list of releases"),
        (b'\xef\xbb\xbf{"revision": 1, "releases": []}', "not a list of releases"),
        (b'{"revision": NaN, "releases": []}', "not a list of releases"),
        (b'{"releases": []}', "`revision` is missing"),
        (b'{"revision": 1}', "`releases` is missing"),
        (b'{"revision": 1, "releases": {}}', "releases: this is of another type; accepted: a list"),
        (b'{"revision": 1, "releases": [7]}', "releases[0]: this is of another type; accepted: a mapping"),
        (b'{"revision": 1, "releases": [], "x": 1}', "x: unknown member; accepted: `revision`, `releases`"),
    ],
)
def test_a_payload_is_read_strictly(tmp_path: Path, payload: bytes, message: str) -> None:
    (said,) = wrong(tmp_path, payload)
    assert said.startswith(message)


def test_every_problem_of_a_list_is_named_and_many_are_counted(tmp_path: Path) -> None:
    spoilt = [entry(commit="c1-short", image_digest="D1")] * 2
    said = wrong(tmp_path, document(*spoilt, revision=0))
    assert len(said) == 5
    said = wrong(tmp_path, document(*spoilt * 100))
    assert len(said) == 21
    assert said[-1] == "380 more problems"


def test_a_list_is_bounded() -> None:
    most = [entry(commit="c1")] * MAX_RELEASES
    assert len(parse_list(write_list(document(*most))).releases) == MAX_RELEASES
    with pytest.raises(InvalidRules, match="50,001 releases; accepted: up to 50,000"):
        parse_list(write_list(document(*most, most[0])))


@given(st.binary())
def test_any_bytes_are_a_list_or_one_error(data: bytes) -> None:
    for parse in (parse_list, parse_pods):
        with pytest.raises(InvalidRules):
            parse(data)


# pods


def status(digest: str | None = DIGEST, name: str = "app", form: str = "{}") -> dict[str, Any]:
    return {"name": name, "imageID": "" if digest is None else form.format(digest), "image": f"x@{NAMES['d2']}"}


def pod(uid: str = NAMES["p1"], spec: dict[str, Any] | None = None, **statuses: Any) -> dict[str, Any]:
    found = {"kind": "Pod", "metadata": {"uid": uid, "labels": {"image": NAMES["d2"]}}, "status": statuses}
    return found if spec is None else {**found, "spec": spec}


def listed(*pods: Any) -> dict[str, frozenset[str]]:
    return dict(parse_pods(json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}).encode()))


@pytest.mark.parametrize(
    "form", ["{}", "docker-pullable://registry.example/app@{}", "registry.example:5000/a/b@{}", "app:1.2@{}"]
)
def test_the_digest_of_a_container_is_read_from_what_the_kubelet_reports(form: str) -> None:
    assert listed(pod(containerStatuses=[status(form=form)])) == {NAMES["p1"]: {DIGEST}}


@pytest.mark.parametrize(
    "image",
    [
        "",
        None,
        7,
        "registry.example/app:1.2",
        "docker://sha256:" + "a" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "A" * 64,
        DIGEST + "\n",
        f"app@{DIGEST} app@{DIGEST}",
        f"app@{DIGEST}@{DIGEST}",
    ],
)
def test_a_pod_of_which_one_image_cannot_be_read_is_unknown(image: Any) -> None:
    unread = {"name": "sidecar", "imageID": image}
    assert listed(pod(containerStatuses=[status(), unread])) == {}
    assert listed(pod(containerStatuses=[status()], initContainerStatuses=[unread])) == {}
    assert listed(pod(containerStatuses=[status()], ephemeralContainerStatuses=[unread])) == {}


@pytest.mark.parametrize("kind", ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"])
def test_every_kind_of_container_counts(kind: str) -> None:
    found = pod(**{"containerStatuses": [status()], kind: [status(), status(NAMES["d2"], "b")]})
    assert listed(found) == {NAMES["p1"]: {DIGEST, NAMES["d2"]}}


@pytest.mark.parametrize("kind", ["containers", "initContainers", "ephemeralContainers"])
def test_a_pod_with_a_container_that_is_not_reported_yet_is_unknown(kind: str) -> None:
    spec = {"containers": [{"name": "app"}]}
    assert listed(pod(spec=spec, containerStatuses=[status()])) == {NAMES["p1"]: {DIGEST}}
    spec = {**spec, kind: [{"name": "app"}, {"name": "late"}]}
    assert listed(pod(spec=spec, containerStatuses=[status()])) == {}


def test_a_pod_that_does_not_run_yet_is_unknown_and_spoils_no_other() -> None:
    waiting = [pod(NAMES["p2"]), {"metadata": {"uid": "no-status"}}, pod("odd", containerStatuses="x")]
    assert listed(*waiting, pod(containerStatuses=[status()])) == {NAMES["p1"]: {DIGEST}}


def test_the_compact_form_is_read() -> None:
    snapshot = {NAMES["p1"]: DIGEST, NAMES["p2"]: [DIGEST, NAMES["d2"]]}
    assert parse_pods(json.dumps(snapshot).encode()) == {NAMES["p1"]: {DIGEST}, NAMES["p2"]: {DIGEST, NAMES["d2"]}}
    assert parse_pods(b"{}") == {}


@pytest.mark.parametrize(
    ("snapshot", "message"),
    [
        (f'{{"p": "{DIGEST}", "p": "{DIGEST}"}}', "no member twice"),
        ('{"p": "latest"}', "p: not an image digest"),
        ('{"p": []}', "p: not an image digest"),
        ('{"p": null}', "p: not an image digest"),
        (f'{{"p": ["{DIGEST}", null]}}', "p: not an image digest"),
        (f'{{"p": "{DIGEST.upper()}"}}', "p: not an image digest"),
        (f'{{"": "{DIGEST}"}}', "not the uid of a pod"),
        (f'{{"a b": "{DIGEST}"}}', "a b: not the uid of a pod"),
        (json.dumps({"items": {}}), "items: not a list"),
        (json.dumps({"items": [7]}), "items[0]: `metadata.uid` is not the uid of a pod"),
        (json.dumps({"items": [pod(), pod()]}), f"items[1]: two pods have the uid `{NAMES['p1']}`"),
        (json.dumps({"items": [{**pod(), "kind": "Node"}]}), "items[0]: not a pod"),
        (json.dumps({"items": [{"metadata": {"uid": 7}}]}), "items[0]: `metadata.uid` is not the uid of a pod"),
    ],
)
def test_a_snapshot_is_read_strictly(tmp_path: Path, snapshot: str, message: str) -> None:
    (bundle(tmp_path, document(entry(commit="c1"))) / "pods.json").write_text(snapshot)
    ((where, said),) = problems(tmp_path, WITH_PODS)
    assert (where, message in said) == (("pods",), True), said


def test_what_kubectl_prints_verifies_a_caller(tmp_path: Path) -> None:
    snapshot = {"kind": "List", "items": [pod(containerStatuses=[status(form="docker-pullable://x/app@{}")])]}
    releases = compile_releases(WITH_PODS, Files(bundle(tmp_path, document(entry(image_digest="d1")), snapshot)))
    judged = releases.judged(caller(pod="p1"), NOW).workload
    assert (judged.verified, judged.digest) == (True, DIGEST)
