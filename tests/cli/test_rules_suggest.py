"""`headgate rules suggest`: from a capture to a policy file that can be pasted, and what it would mean."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from tests.cli.explaining import write_rules
from tests.cli.recording import ANA, NOW, Sent, by, write_capture

from headgate.bundle.load import load_bundle
from headgate.capture.record import Mode
from headgate.capture.store import PAGE, Store
from headgate.cli.main import main
from headgate.cli.suggested import share
from headgate.model import Kind, denied, malformed, withheld

OBSERVED = "targets: [{name: api, hosts: [api.internal, other.internal], environment: prod, observe: true}]\n"
POLICY = """\
rules:
  - {id: everybody-checks-health, effect: allow, match: {target: api, path: /health}}
  - {id: never, effect: deny, match: {method: DELETE}}
"""


class Suggest:
    """`headgate rules suggest` in one folder of rules and state."""

    def __init__(self, folder: Path) -> None:
        self.rules, self.state = write_rules(folder / "rules"), folder / "state"
        (self.rules / "targets.yaml").write_text(OBSERVED)
        (self.rules / "policy.yaml").write_text(POLICY)
        (self.rules / "masking.yaml").write_text("masks: [{id: mail, match: {}, detect: [EMAIL_ADDRESS]}]\n")

    def recorded(self, *sent: Sent) -> None:
        write_capture(self.state, sent)

    def __call__(self, *words: object, code: int = 0) -> Result:
        more = ["--rules", str(self.rules), "--state", str(self.state)]
        result = CliRunner().invoke(main, ["rules", "suggest", *map(str, words), *more])
        assert result.exit_code == code, result.output
        return result

    def json(self, *words: object) -> Any:
        return json.loads(self(*words, "--json").stdout)

    def rules_of(self, *words: object) -> list[tuple[str, Any]]:
        return [(one["rule"]["id"], one["rule"]["match"]) for one in self.json(*words)["suggestions"]]


@pytest.fixture
def suggest(tmp_path: Path) -> Suggest:
    return Suggest(tmp_path)


# -- the policy file --------------------------------------------------------------------------------------------------


def test_it_prints_a_policy_file_with_what_it_is_based_on(suggest: Suggest) -> None:
    suggest.recorded(
        *(Sent(path=f"/v1/customers/{number}") for number in (17, 42)), Sent("DELETE"), Sent(path="/health")
    )
    result = suggest()
    assert result.stderr == ""
    first, *rest = result.stdout.splitlines()
    assert first.startswith("# Suggested by `headgate rules suggest`: read each rule before you keep it")
    text = "\n".join(rest)
    assert "# 1 rule from 4 answered requests, 1 of which the rules in " in text
    assert "# together they allow 3 of 4 (75 %)" in text
    assert "#   1 DELETE /v1/customers/{customer_id} at api, human: denied-by-rule (never)" in text
    assert "  # 2 requests by 1 caller, 2027-01-15T08:00Z\n" in text
    assert yaml.safe_load(result.stdout)["rules"] == [
        {
            "id": "support-reads-customer",
            "effect": "allow",
            "match": {
                "principal": {"kind": "human", "groups": ["support"]},
                "target": "api",
                "method": "GET",
                "path": "/v1/customers/{customer_id}",
            },
        }
    ]


def test_what_it_writes_makes_the_bundle_allow_what_was_done(suggest: Suggest) -> None:
    suggest.recorded(Sent(path="/v1/customers/17"), Sent("POST", "/v1/refunds", 201))
    file = suggest.rules / "policy" / "suggested.yaml"
    result = suggest("--write", file)
    assert result.stdout.splitlines()[0] == f"wrote {file}"
    assert [path.name for path in file.parent.iterdir()] == ["suggested.yaml"]
    bundle = load_bundle(suggest.rules)
    assert {rule.ref.id for rule in bundle.policy.rules} > {"support-reads-customer", "support-changes-refunds"}
    tested = CliRunner().invoke(main, ["rules", "test", str(suggest.rules)])
    assert (tested.exit_code, tested.stdout) == (0, "ok: 4 tests passed\n")
    again = suggest()
    assert again.stdout == ""
    assert again.stderr.splitlines()[0] == "there is nothing to suggest"


@pytest.mark.parametrize(
    ("file", "head"),
    [
        ("policy/new.yaml", "# yaml-language-server: $schema=../schema/policy.json\n#\n# Suggested"),
        ("new.yaml", "# yaml-language-server: $schema=schema/policy.json\n#\n# Suggested"),
        ("a/b/new.yaml", "# Suggested"),
    ],
)
def test_editors_are_told_the_schema_where_it_lies_beside(
    suggest: Suggest, tmp_path: Path, file: str, head: str
) -> None:
    suggest.recorded(Sent())
    CliRunner().invoke(main, ["rules", "schema", "--into", str(tmp_path / "mine" / "schema")])
    suggest("--write", tmp_path / "mine" / file)
    assert (tmp_path / "mine" / file).read_text().startswith(head)


def test_nothing_is_overwritten(suggest: Suggest) -> None:
    suggest.recorded(Sent())
    result = suggest("--write", suggest.rules / "policy.yaml", code=2)
    assert "is there already; accepted: a new file" in result.stderr
    assert (suggest.rules / "policy.yaml").read_text() == POLICY


def test_a_place_that_cannot_be_written_is_said(suggest: Suggest, tmp_path: Path) -> None:
    suggest.recorded(Sent())
    (tmp_path / "file").write_text("")
    result = suggest("--write", tmp_path / "file" / "new.yaml", code=1)
    assert result.stderr.endswith("cannot be written: not a directory\n") or "file exists" in result.stderr


# -- which requests count ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        Sent(refusal=denied("no-rule-allows"), status=403),
        Sent(refusal=malformed("path-dot-segment"), status=400),
        Sent(status=None, error="connection-failed"),
        Sent("CONNECT", ""),
    ],
)
def test_what_reached_no_target_was_not_seen(suggest: Suggest, sent: Sent) -> None:
    suggest.recorded(sent)
    assert suggest.json()["requests"] == 0


def test_what_was_answered_badly_or_could_not_be_masked_is_no_rule(suggest: Suggest) -> None:
    suggest.recorded(Sent(status=404), Sent(path="/v1/report", refusal=withheld("content-coding-unknown"), status=502))
    found = suggest.json()
    assert found["suggestions"] == []
    assert [(row["path"], row["reason"]) for row in found["still_refused"]] == [
        ("/v1/customers/{customer_id}", "never-answered-well"),
        ("/v1/report", "never-answered-well"),
    ]


def test_what_went_to_a_host_that_these_rules_do_not_know_is_counted(suggest: Suggest) -> None:
    suggest.recorded(Sent(host="elsewhere.internal"), Sent())
    assert suggest.json()["left_out"] == {"unknown-target": 1}


def test_only_one_target_or_only_of_late(suggest: Suggest) -> None:
    (suggest.rules / "targets.yaml").write_text(
        "targets:\n"
        "  - {name: api, hosts: [api.internal], environment: prod, observe: true}\n"
        "  - {name: other, hosts: [other.internal], environment: prod, observe: true}\n"
    )
    suggest.recorded(Sent(path="/a"), Sent(path="/b", host="other.internal"), Sent(path="/c"))
    assert [one["path"] for _, one in suggest.rules_of("--target", "other")] == ["/b"]
    assert [one["path"] for _, one in suggest.rules_of("--since", "2027-01-15T08:00:02Z")] == ["/c"]
    assert [one["path"] for _, one in suggest.rules_of("--target", "api")] == ["/a", "/c"]


def test_a_target_that_is_none_is_wrong_usage(suggest: Suggest) -> None:
    assert "`b\\x1bc` is not a target; accepted: `api`" in suggest("--target", "b\x1bc", code=2).stderr


def test_what_is_rare_and_who_is_nobody_are_left_out_unless_asked_for(suggest: Suggest) -> None:
    nobody = by("anonymous", kind=Kind.ANONYMOUS, provider="anonymous")
    suggest.recorded(Sent(), Sent(), Sent(path="/once"), Sent(who=nobody, path="/open"))
    (suggest.rules / "targets.yaml").write_text(OBSERVED + "isolate_environments: false\n")
    assert [one["path"] for _, one in suggest.rules_of("--min", "2")] == ["/v1/customers/{customer_id}"]
    assert {one["path"] for _, one in suggest.rules_of("--anonymous")} == {
        "/once",
        "/open",
        "/v1/customers/{customer_id}",
    }


def test_a_capture_of_metadata_is_enough(suggest: Suggest) -> None:
    suggest.recorded(Sent(mode=Mode.METADATA), Sent(mode=Mode.METADATA, path="/v1/events", status=101))
    assert [(name, one["method"]) for name, one in suggest.rules_of()] == [
        ("support-reads-customer", "GET"),
        ("support-opens-events", "WEBSOCKET"),
    ]


def test_masked_segments_are_variables(suggest: Suggest) -> None:
    suggest.recorded(Sent(path="/v1/users/[EMAIL_ADDRESS]/cards"))
    assert suggest.rules_of()[0][1]["path"] == "/v1/users/{user_id}/cards"
    assert suggest.json()["suggestions"][0]["tests"][0]["request"]["url"].endswith("/v1/users/example/cards")


# -- rules that exist -------------------------------------------------------------------------------------------------


def test_rules_that_read_bodies_see_those_that_were_recorded(suggest: Suggest) -> None:
    (suggest.rules / "policy.yaml").write_text(
        "rules:\n"
        "  - {id: small, effect: allow, match: {target: api, path: /v1/refunds, body: {'$.amount': {lte: 10}}}}\n"
        "  - {id: none, effect: deny, match: {target: api, path: /v1/refunds, body: {'$.amount': {gt: 1000}}}}\n"
    )
    typed = ((b"content-type", b"application/json"),)
    amounts = (5, 500, 5000)
    suggest.recorded(
        *(Sent("POST", "/v1/refunds", 201, headers=typed, body=b'{"amount": %d}' % amount) for amount in amounts),
        Sent("POST", "/v1/refunds", 201, mode=Mode.METADATA, body=b'{"amount": 5}'),
    )
    found = suggest.json()
    assert (found["allowed_already"], found["allowed_together"]) == (1, 2)
    assert [(row["reason"], row["requests"]) for row in found["still_refused"]] == [
        ("denied-by-rule (none)", 1),
        ("denied-by-unknown (none)", 1),
    ]


def test_a_rule_for_signals_is_taken_as_in_quiet_times(suggest: Suggest) -> None:
    (suggest.rules / "policy.yaml").write_text("rules: [{id: freeze, effect: deny, match: {signal: incident}}]\n")
    suggest.recorded(Sent())
    assert [name for name, _ in suggest.rules_of()] == ["support-reads-customer"]


def test_ids_of_rules_that_exist_are_not_given_again(suggest: Suggest) -> None:
    (suggest.rules / "policy.yaml").write_text(
        "rules: [{id: support-reads-customer, effect: allow, match: {target: api, path: /health}}]\n"
    )
    suggest.recorded(Sent())
    assert [name for name, _ in suggest.rules_of()] == ["support-reads-customer-2"]


def test_rules_that_cannot_be_used_and_no_capture_are_said(suggest: Suggest) -> None:
    assert "there is no capture at" in suggest(code=1).stderr
    (suggest.rules / "policy.yaml").write_text("rules: [{id: a}]\n")
    assert "rules/policy.yaml:1:9: `effect` is missing" in suggest(code=1).stderr


# -- the report -------------------------------------------------------------------------------------------------------


def test_as_json(suggest: Suggest) -> None:
    suggest.recorded(Sent(), Sent(who=by("abe", "support"), path="/v1/customers/7"), Sent(status=500))
    found = suggest.json()
    assert found["first"] == "2027-01-15T08:00:00.000Z"
    assert (found["requests"], found["share"], found["still_refused"], found["left_out"]) == (3, 1.0, [], {})
    one = found["suggestions"][0]
    assert (one["requests"], one["errors"], one["callers"], len(one["flows"]), len(one["tests"])) == (2, 1, 2, 2, 2)
    assert (one["destructive"], one["lets_in_others"]) == (False, False)


def test_what_others_sent_moves_no_cursor(suggest: Suggest) -> None:
    evil = by("e\x1b[2Jve", "sup\x1b]0;port\nrules: []")
    suggest.recorded(Sent(who=evil, path="/v1/a"), Sent("DELETE", "/v1/\x1b[2J", who=evil))
    result = suggest()
    assert all(character.isprintable() or character == "\n" for character in result.output)
    assert yaml.safe_load(result.stdout)["rules"][0]["match"]["principal"]["groups"] == ["sup\x1b]0;port\nrules: []"]


def test_a_long_list_of_refusals_is_cut_for_people(suggest: Suggest) -> None:
    suggest.recorded(*(Sent("DELETE", f"/{chr(97 + at)}{chr(97 + at)}") for at in range(25)), Sent(path="/ok"))
    shown = suggest().stdout
    assert (shown.count("# " + "  1 DELETE"), "and 5 more kinds of requests, see --json" in shown) == (20, True)
    assert len(suggest.json()["still_refused"]) == 25


@pytest.mark.parametrize(
    ("part", "whole", "shown"), [(0, 3, "0 %"), (3, 3, "100 %"), (999, 1000, "99 %"), (1, 1000, "1 %"), (1, 3, "33 %")]
)
def test_a_share_says_all_and_nothing_only_if_it_is(part: int, whole: int, shown: str) -> None:
    assert share(part, whole) == shown


def test_a_capture_is_read_in_pages_and_each_flow_once(suggest: Suggest) -> None:
    number = PAGE * 2 + 3
    suggest.recorded(*(Sent(body=b"x" * 9) for _ in range(number)))
    store = Store(suggest.state)
    read = list(store.answered())
    assert [entry.summary.time for entry in read] == [NOW + at for at in range(number)]
    assert {entry.request.body for entry in read} == {b""}
    assert next(store.answered(bodies=True)).request.body == b"x" * 9
    assert store.count_answered() == number
    assert store.count_answered(NOW + 10) == len(list(store.answered(NOW + 10))) == number - 10
    assert suggest.json()["suggestions"][0]["requests"] == number


def test_who_was_seen_is_read_whole(suggest: Suggest) -> None:
    suggest.recorded(Sent(who=ANA))
    principal = next(Store(suggest.state).answered()).principal
    assert principal is not None
    assert (principal["kind"], principal["groups"], principal["environment"]) == ("human", ["support"], ["prod"])
