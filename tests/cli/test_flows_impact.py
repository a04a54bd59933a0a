"""`headgate flows impact`: what it says, what it writes and how it exits."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from tests.replay.under_rules import NOW, Asked, by, capture, make_bundle

from headgate.bundle.load import load_bundle
from headgate.bundle.store import BundleStore
from headgate.bundle.versions import How
from headgate.cli.flows_impact import impact
from headgate.errors import HeadgateError

SECRET = "ana.secret@example.com"
OLD = {
    "policy": [
        {"id": "all", "effect": "allow", "match": {"target": "api"}},
        {"id": "no-deletes", "effect": "deny", "match": {"method": "DELETE"}},
    ],
    "masking": [{"id": "mails", "match": {"target": "api"}, "detect": ["EMAIL_ADDRESS"]}],
}
NEW = {
    "policy": [
        {"id": "all", "effect": "allow", "match": {"target": "api"}},
        {"id": "never-hit", "effect": "deny", "match": {"method": "PUT"}},
    ],
    "masking": [{"id": "cards", "match": {"target": "api"}, "detect": ["CREDIT_CARD"]}],
}
DAY = [
    Asked(path="/v1/customers/1", answer=f'{{"mail": "{SECRET}"}}'.encode()),
    Asked(path="/v1/customers/2", answer=f'{{"mail": "{SECRET}"}}'.encode()),
    Asked("DELETE", "/v1/customers/3"),
    Asked(path="/health", who=by("bob")),
]


class Impact:
    def __init__(self, folder: Path) -> None:
        self.folder, self.state, self.old, self.new = folder, folder / "state", folder / "old", folder / "new"
        old = make_bundle(self.old, **OLD)
        make_bundle(self.new, **NEW)
        capture(self.state, old, DAY)

    def activate(self) -> None:
        store = BundleStore(self.state)
        store.prepare()
        store.activate(load_bundle(self.old), How.ACTIVATE, by="test", now=NOW, after=None)

    def __call__(self, *words: str, code: int, new: Path | None = None) -> Result:
        done = CliRunner().invoke(impact, ["--rules", str(new or self.new), "--state", str(self.state), *words])
        assert done.exit_code == code, (done.output, done.exception)
        assert SECRET not in done.output
        return done

    def against(self, *words: str, code: int = 3, **more: Any) -> Result:
        return self("--against", str(self.old), *words, code=code, **more)

    def json(self, *words: str, code: int = 3, **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.against(*words, "--json", code=code, **more).stdout)
        return found


@pytest.fixture
def told(tmp_path: Path) -> Impact:
    return Impact(tmp_path)


def test_what_is_loosened_and_no_longer_masked_is_said_and_fails(told: Impact) -> None:
    output = told.against().output
    assert "LOOSENED 1  more would pass" in output
    assert "deny → allow  no-deletes → all  DELETE api.internal/v1/customers/{customer_id}  n=1" in output
    assert "MASK LOST 2  less would be masked" in output
    assert "EMAIL_ADDRESS at /mail: redact  mails → -  GET api.internal/v1/customers/{customer_id}  n=2" in output
    assert "rules never hit: never-hit" in output
    assert "unchanged 1  unknown 0  drift 0  not-judged 0" in output


def test_as_json(told: Impact) -> None:
    found = told.json()
    assert (found["flows"], found["unchanged"], found["fails"]) == (4, 1, True)
    assert {kind: n for kind, n in found["counts"].items() if n} == {"loosened": 1, "mask-lost": 2}
    loosened, lost = found["groups"]
    assert (loosened["rules"], loosened["count"]) == ({"old": ["no-deletes"], "new": ["all"]}, 1)
    assert (lost["entity"], lost["location"], lost["count"], len(lost["examples"])) == ("EMAIL_ADDRESS", "/mail", 2, 2)


def test_rules_against_themselves_change_nothing(told: Impact) -> None:
    found = told.json(code=0, new=told.old)
    assert (found["flows"], found["unchanged"], found["groups"]) == (4, 4, [])


def test_each_flow_is_compared_with_the_rules_it_was_recorded_under(told: Impact) -> None:
    told.activate()
    found = json.loads(told("--json", code=3).stdout)
    assert (found["old"], found["counts"]["loosened"], found["counts"]["drift"]) == (None, 1, 0)
    assert "1.0.0" in told("--against", "active", code=3).output


def test_without_those_rules_it_says_what_to_do(told: Impact) -> None:
    done = told(code=1)
    assert isinstance(done.exception, HeadgateError)
    assert "--against" in str(done.exception)


def test_what_is_allowed_by_name_does_not_fail(told: Impact) -> None:
    found = told.json("--allow-loosening", "no-deletes", "--allow-loosening", "mails", code=0)
    assert (found["fails"], found["allowed_unused"]) == (False, [])
    group = told.json()["groups"][0]["id"]
    assert told.json("--allow-loosening", group, "--allow-loosening", "mails", code=0)["fails"] is False
    assert told.json("--allow-loosening", "mails", code=3)["fails"] is True


def test_an_allowance_that_nothing_used_is_said(told: Impact) -> None:
    output = told.against("--allow-loosening", "all", "--allow-loosening", "never-hit").output
    assert "nothing was loosened by `never-hit`: it need not be allowed" in output


def test_an_allowance_for_nothing_that_exists_is_wrong_usage(told: Impact) -> None:
    assert "`no-such`: no such rule, mask or group" in told.against("--allow-loosening", "no-such", code=2).output


def test_decisions_alone_leave_masks_out(told: Impact) -> None:
    found = told.json("--decisions-only")
    assert (found["counts"]["mask-lost"], found["counts"]["loosened"], found["masks"]) == (0, 1, False)


def test_only_what_is_asked_for_is_looked_at(told: Impact) -> None:
    assert told.json("--filter", "~m GET & ~u health", code=0)["flows"] == 1
    assert told.json("--since", "2040-01-01", code=0)["flows"] == 0
    assert told.json("--until", "2001-01-01", code=0)["flows"] == 0
    assert "--filter" in told.against("--filter", "~nothing", code=2).output


def test_what_is_not_known_fails_only_where_that_is_asked_for(told: Impact) -> None:
    new = told.folder / "unsure"
    rule = {"id": "gold", "effect": "deny", "match": {"principal": {"claims": {"level": "gold"}}}}
    make_bundle(new, policy=[*OLD["policy"], rule], masking=OLD["masking"])
    output = told.against(code=0, new=new).output
    assert "of 3 flows it is UNKNOWN what changes; 0 times it may be loosened" in output
    assert "whether rule `gold` applies is not known" in output
    told.against("--fail-on-unknown", code=3, new=new)


def test_reports_for_pull_requests_and_for_junit(told: Impact) -> None:
    markdown, junit = told.folder / "impact.md", told.folder / "impact.xml"
    told.against("--markdown", str(markdown), "--junit", str(junit))
    text = markdown.read_text(encoding="utf-8")
    assert text.startswith("### Policy impact: ❌ something is loosened")
    assert "| **MASK LOST** | 2 | less would be masked |" in text
    suite = ElementTree.parse(junit).getroot()[0]  # noqa: S314 - our own file
    assert (suite.get("tests"), suite.get("failures")) == ("2", "2")
    assert [case.get("classname") for case in suite.iter("testcase")] == ["loosened", "mask-lost"]
    assert SECRET not in text + junit.read_text(encoding="utf-8")


def test_a_file_that_cannot_be_written_is_said(told: Impact) -> None:
    done = told.against("--junit", str(told.folder / "no" / "such"), code=1)
    assert "cannot be written: no such file or directory" in str(done.exception)


def test_a_capture_may_be_named(told: Impact) -> None:
    saved = told.folder / "saved"
    saved.mkdir()
    (told.state / "capture.db").rename(saved / "checkout.db")
    done = CliRunner().invoke(
        impact, [str(saved / "checkout.db"), "--rules", str(told.new), "--against", str(told.old), "--json"]
    )
    assert (done.exit_code, json.loads(done.stdout)["flows"]) == (3, 4)
