"""`headgate rules explain`: the answer, why, and never a secret; who calls, and when."""

import json
from pathlib import Path

import pytest
from tests.cli.explaining import ANA, CUSTOMER, Explain

from headgate.identity.development import DevelopmentKey
from headgate.identity.store import IdentityStore

NOW = 1_800_000_000
AT = ("--at", "2027-01-15T08:00:00Z")
SECRET = "s3cr3t-v4lue"


@pytest.fixture
def explain(tmp_path: Path) -> Explain:
    return Explain(tmp_path)


# -- what is shown -----------------------------------------------------------------------------------------------------


def test_an_allowed_request_shows_the_rule_its_conditions_and_what_is_due(explain: Explain) -> None:
    assert (
        explain(CUSTOMER, "--principal", ANA, *AT).output
        == """\
allowed: allowed-by-rule (support-reads)
  GET https://api.internal/v1/customers/42
  by ana (human, by test)
  to api (prod)
  at 2027-01-15T08:00:00Z, by rules test 1.0.0

why
  support-reads (allow), rules/policy.yaml:2: holds
    holds     method: expected GET, got GET, line 7
    holds     target: expected api, got api, line 6
    holds     principal.groups: expected support, got support, line 5
    holds     path: expected /v1/customers/{id}, got /v1/customers/42, line 8

shadow
  later (deny), rules/policy.yaml:17
  if enforced: the answer would be deny
masks due: everywhere
"""
    )


def test_a_refusal_by_default_shows_what_came_nearest(explain: Explain) -> None:
    lines = explain("PUT", CUSTOMER, "--principal", ANA, *AT).output.splitlines()
    assert lines[0] == "refused: no-rule-allows"
    at = lines.index("nearest allow")
    assert lines[at + 1 : at + 3] == [
        "  support-reads (allow), rules/policy.yaml:2",
        "    method does not hold: expected GET, got PUT, line 7",
    ]


def test_a_check_before_any_rule_shows_why(explain: Explain) -> None:
    lines = explain(CUSTOMER, "--principal", "{id: ana, kind: human, environment: staging}").output.splitlines()
    assert lines[0] == "refused: environment-mismatch"
    assert "  environment: expected prod, got staging" in lines


def test_an_approval_and_a_deny_say_so(explain: Explain) -> None:
    approve = explain("POST", "https://api.internal/v1/refunds", "--principal", ANA).output
    assert approve.startswith("needs approval: approval-required (refunds)\n")
    assert "  message: Ask a lead.\n" in approve
    agent = "{id: bot, kind: agent, groups: [support], environment: prod}"
    assert explain("DELETE", CUSTOMER, "--principal", agent).output.startswith(
        "refused: denied-by-rule (agents-never-delete)\n"
    )


def test_what_is_observed_says_that_it_is_not_enforced(explain: Explain) -> None:
    found = explain("PUT", "https://trial.internal/x", "--principal", ANA).output
    assert found.startswith("not enforced (observed target), else refused: no-rule-allows\n")
    assert "masks due: everywhere, trial-only\n" in found


def test_all_shows_every_rule_in_order(explain: Explain) -> None:
    lines = explain(CUSTOMER, "--principal", ANA, "--all").output.splitlines()
    listed = lines[lines.index("every rule") + 1 :]
    assert [line for line in listed if not line.startswith("    ")] == [
        "  support-reads (allow), rules/policy.yaml:2: holds",
        "  refunds (approve), rules/policy.yaml:9: fails",
        "  agents-never-delete (deny), rules/policy.yaml:14: fails",
        "  later (deny), rules/policy.yaml:17, shadow: holds",
    ]
    assert "      fails     principal.groups: expected leads, got support, line 20" in listed, "below `not`"


def test_as_json_it_is_the_explanation_with_what_is_due(explain: Explain) -> None:
    found = explain.json(CUSTOMER, "--principal", ANA, *AT)
    assert found["refusal"] is None
    assert (found["decision"]["effect"], found["decision"]["shadow_effect"]) == ("allow", "deny")
    assert [rule["id"] for rule in found["rules"]] == ["support-reads", "refunds", "agents-never-delete", "later"]
    assert (found["masks"], found["now"], found["signals"]) == (["everywhere"], NOW, [])
    assert found["bundle"]["name"] == "test"
    assert [check["outcome"] for check in found["entry"]] == ["true", "true", "true"]


def test_a_refused_one_has_the_same_members(explain: Explain) -> None:
    assert explain.json(CUSTOMER, "--anonymous").keys() == explain.json(CUSTOMER, "--principal", ANA).keys()


# -- as live -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://api.internal/v1/../admin", "path-dot-segment"),
        ("https://api.internal/v1//x", "path-empty-segment"),
        ("https://api.internal/v1#x", "path-delimiter"),
        ("https://127.1/x", "host-malformed"),
        ("https://api.internal/x?_method=DELETE", "method-override"),
    ],
)
def test_a_malformed_request_is_explained_as_such(url: str, reason: str, explain: Explain) -> None:
    assert explain.answer(url, "--principal", ANA) == ("400", reason)
    line = explain(url, "--principal", ANA).output.splitlines()[0]
    assert line.startswith(f"refused: {reason} (400): ")
    assert not line.endswith(": ")


def test_a_header_that_hygiene_refuses(explain: Explain) -> None:
    curl = f"curl {CUSTOMER} -H 'X-HTTP-Method-Override: DELETE'"
    assert explain.answer("--curl", curl, "--principal", ANA) == ("400", "override-header")


def test_a_body_that_is_not_as_long_as_it_says(explain: Explain) -> None:
    curl = "curl https://api.internal/v1/refunds -d abc -H 'Content-Length: 9'"
    assert explain.answer("--curl", curl, "--principal", ANA) == ("400", "length-mismatch")


def test_a_body_that_overrides_the_method(explain: Explain) -> None:
    curl = "curl https://api.internal/v1/refunds -d _method=DELETE"
    assert explain.answer("--curl", curl, "--principal", ANA) == ("400", "method-override")


def test_a_path_is_decided_on_in_its_canonical_form(explain: Explain) -> None:
    assert explain.json("https://API.internal./v1/customers/%34%32", "--principal", ANA)["request"] == {
        "method": "GET",
        "scheme": "https",
        "host": "api.internal",
        "port": 443,
        "path": "/v1/customers/42",
    }


# -- who calls ---------------------------------------------------------------------------------------------------------


def token(explain: Explain, **claims: object) -> str:
    whole = {"sub": "ana", "kind": "human", "groups": ["support"], "env": "prod", "aud": "headgate-dev", **claims}
    return DevelopmentKey.open(explain.state).mint(whole, now=NOW)


def test_a_token_is_verified_as_live(explain: Explain, tmp_path: Path) -> None:
    text = token(explain)
    (tmp_path / "token.txt").write_text(f"{text}\n")
    for given in (text, f"@{tmp_path / 'token.txt'}"):
        found = explain.json(CUSTOMER, "--token", given, *AT)
        assert (found["principal"]["id"], found["decision"]["effect"]) == ("ana", "allow")
    assert explain(CUSTOMER, "--token", "-", *AT, stdin=text).output.startswith("allowed: ")


def test_a_token_that_is_not_accepted_is_the_refusal_it_would_get(explain: Explain) -> None:
    expired = explain(CUSTOMER, "--token", token(explain), "--at", "2027-01-16T08:00:00Z")
    assert expired.output.splitlines()[0] == "refused: expired (401): the token has expired"
    other = token(explain, aud="other")
    assert explain.answer(CUSTOMER, "--token", other, *AT) == ("401", "audience-mismatch")
    assert explain.answer(CUSTOMER, "--token", "nonsense", *AT) == ("401", "token-segments")


def test_a_revoked_caller_is_refused(explain: Explain) -> None:
    store = IdentityStore(explain.state)
    store.prepare()
    store.revoke("principal", "ana", by="test", now=NOW - 1, lasts=3600)
    assert explain.answer(CUSTOMER, "--token", token(explain), *AT) == ("401", "revoked")


def test_without_a_caller_given_the_request_has_to_prove_one(explain: Explain) -> None:
    text = token(explain)
    curl = f"curl {CUSTOMER} -H 'Authorization: Bearer {text}'"
    assert explain.answer("--curl", curl, *AT) == ("allow", "allowed-by-rule")
    assert explain.answer(CUSTOMER) == ("401", "no-token")
    assert explain.answer("--curl", f"curl -u ana:pw {CUSTOMER}") == ("401", "unsupported-scheme")


def test_nobody_in_particular(explain: Explain) -> None:
    assert explain.answer(CUSTOMER, "--anonymous") == ("401", "no-token")
    with (explain.rules / "identity.yaml").open("a") as file:
        file.write("anonymous: allow\n")
    found = explain.json(CUSTOMER, "--anonymous")
    assert (found["principal"]["kind"], found["decision"]["reason"]) == ("anonymous", "environment-mismatch")


def test_a_caller_may_stand_in_a_file(explain: Explain, tmp_path: Path) -> None:
    (tmp_path / "ana.yaml").write_text(ANA)
    (tmp_path / "ana.json").write_text(
        '{\n\t"id": "ana", "kind": "human", "groups": ["support"], "environment": "prod"}'
    )
    for name in ("ana.yaml", "ana.json"):
        assert explain.answer(CUSTOMER, "--principal", tmp_path / name) == ("allow", "allowed-by-rule")


def test_signals_and_the_time_are_those_given(explain: Explain) -> None:
    found = explain.json(CUSTOMER, "--principal", ANA, "--signal", "incident", "--signal", "b", "--at", "2027-01-15")
    assert (found["signals"], found["now"]) == (["b", "incident"], 1_799_971_200)


# -- secrets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("everything", [[], ["--all"], ["--json"]])
def test_no_credential_is_ever_shown(everything: list[str], explain: Explain) -> None:
    rule = (
        "  - id: z\n    effect: deny\n"
        "    match: {headers: {x-api-key: k}, query: {token: t}, body: {$.pin_token: p}}\n"
        '    when: \'"k" in request.headers["x-api-key"]\'\n'
    )
    with (explain.rules / "policy.yaml").open("a") as file:
        file.write(rule)
    body = json.dumps({"pin_token": SECRET})
    curl = f"curl '{CUSTOMER}?token={SECRET}' -H 'X-Api-Key: {SECRET}' -b 'a={SECRET}' -u a:{SECRET} --json '{body}'"
    output = explain("--curl", curl, "--principal", ANA, *everything).output
    assert SECRET not in output
    if everything:
        assert output.count("[redacted]") == 4, "that there was one is shown"
    text = token(explain, jti=SECRET)
    assert text not in explain(CUSTOMER, "--token", text, *AT, *everything).output
    assert text not in explain(CUSTOMER, "--token", f"{text}x", *AT, *everything).output


def test_nothing_that_is_given_acts_on_the_terminal(explain: Explain) -> None:
    evil = '{"id": "ana\\u001b[2J", "kind": "human", "groups": ["\\u202e"], "environment": "prod"}'
    output = explain("PUT", CUSTOMER, "--principal", evil, "--all").output
    assert [character for character in output if not (character.isprintable() or character == "\n")] == []
    assert "\\x1b[2J" in output


# -- wrong usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--principal", ANA], "one request is explained at a time; accepted: one of METHOD URL, --request"),
        ([CUSTOMER, "--curl", "curl x"], "one request is explained at a time"),
        (["GET", CUSTOMER, "more"], "too many arguments; accepted: METHOD URL"),
        (["api.internal/x"], "that is not a URL; accepted: one such as `https://"),
        ([f"https://ana:{SECRET}@api.internal/"], "a URL with a user before its host"),
        ([CUSTOMER, "--principal", ANA, "--anonymous"], "more than one caller is given"),
        ([CUSTOMER, "--principal", "{id: ana}"], "--principal:1:1: `kind` is missing"),
        ([CUSTOMER, "--principal", "{id: ana, kind: human, id: bo}"], "`id` is given twice"),
        ([CUSTOMER, "--principal", "[a]"], "holds something else; accepted: a file, or a mapping"),
        ([CUSTOMER, "--principal", "{\n"], "--principal:2:1: not YAML"),
        ([CUSTOMER, "--token", "@nowhere"], "`nowhere` cannot be read: no such file"),
        ([CUSTOMER, "--token", " "], "there is no token"),
        ([CUSTOMER, "--at", "noon"], "`noon` is not a time; accepted: ISO 8601"),
        (["--request", "nowhere"], "`nowhere` cannot be read: no such file"),
    ],
)
def test_wrong_usage_is_one_clear_message(words: list[str], message: str, explain: Explain) -> None:
    output = " ".join(explain(*words, code=2).output.split())
    assert message in output
    assert SECRET not in output


def test_rules_that_cannot_be_used_exit_with_1(explain: Explain) -> None:
    (explain.rules / "policy.yaml").write_text("rules: 7\n")
    assert "policy.yaml:1:8" in explain(CUSTOMER, "--principal", ANA, code=1).output


def test_help_shows_examples(explain: Explain) -> None:
    assert "headgate rules explain GET https://" in explain("--help").output
    assert json.dumps(explain.json(CUSTOMER, "--principal", ANA))
