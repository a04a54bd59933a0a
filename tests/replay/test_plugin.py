"""Recorded flows as tests: how they are named and chosen, what they show when rules say something else, and what a
file does that cannot be read. Beside every flow that fails the rest of the run goes on."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.replay.checkout import CHECKOUT, flow, save
from tests.replay.shop import BOBS, DELETE, NAMES, PLUGIN, REFUND, Shop, outcomes

from headgate.bundle.load import load_bundle
from headgate.capture.store import Store
from headgate.replay.expectations import load
from headgate.replay.saved.saving import save as save_flows

pytest_plugins = ["pytester"]


@pytest.fixture
def shop(pytester: pytest.Pytester) -> Shop:
    return Shop(pytester)


def test_every_flow_is_a_test_by_its_name(shop: Shop) -> None:
    result = shop.run("--collect-only", "-q")
    assert [line for line in result.outlines if "::" in line] == list(NAMES)


def test_flows_pass_as_long_as_the_rules_say_what_is_expected(shop: Shop) -> None:
    outcomes(shop.run(), passed=4)


def test_one_flow_is_run_by_its_name(shop: Shop) -> None:
    outcomes(shop.run(REFUND, where=None), passed=1)


def test_flows_are_chosen_by_expression(shop: Shop) -> None:
    outcomes(shop.run("-k", "customers and not DELETE"), passed=2, deselected=2)


def test_a_path_that_looks_like_a_node_id_or_a_parameter_is_run_by_its_name(shop: Shop) -> None:
    odd = [flow(1, "GET", "/v1/[EMAIL_ADDRESS]/a::b"), flow(2, "GET", "/v1/caf\u00e9 \x1b[31m\n")]
    save(shop.root / "flows/odd.db", odd)
    outcomes(shop.run("flows/odd.db", "--flows-update", where=None), passed=2)
    result = shop.run("flows/odd.db", "--collect-only", "-q", where=None)
    names = [line for line in result.outlines if "::" in line]
    assert len(names) == 2
    assert all(name.isprintable() and name.count("::") == 1 for name in names)
    for name in names:
        outcomes(shop.run(name, where=None), passed=1)


def test_what_failed_last_is_run_again_alone(shop: Shop) -> None:
    shop.tighten()
    outcomes(shop.pytester.runpytest_inprocess(*PLUGIN, "flows", "--lf"), passed=3, failed=1)
    result = shop.pytester.runpytest_inprocess(*PLUGIN, "flows", "--lf", "-v")
    outcomes(result, failed=1)
    result.stdout.fnmatch_lines([f"{REFUND} FAILED*"])


def test_workers_of_xdist_judge_the_same_flows(shop: Shop) -> None:
    shop.tighten()
    result = shop.run("-n", "2", apart=True)
    outcomes(result, passed=3, failed=1)
    result.stdout.fnmatch_lines(["*tightened: allow (support-refunds) -> deny (no-rule-allows)*"])


# -- what a failure shows ---------------------------------------------------------------------------------------------


def test_what_lets_more_pass_is_shown_as_loosened(shop: Shop) -> None:
    shop.loosen()
    result = shop.run()
    outcomes(result, passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "loosened: deny (no-rule-allows) -> allow (support-reads)",
            "GET http://shop.internal/v1/customers/17, by bob (human, by development)",
            "  - expected (flows/checkout.expected.yaml:*)",
            "  + by the rules in rules",
            "  - effect: deny",
            "  + effect: allow",
            "rules/policy.yaml:2: support-reads (allow) decides",
            "    holds     method: expected GET, got GET, line 4",
            "    holds     path: expected /v1/customers/{id}, line 4",
            "rules/masking.yaml:2: mask personal-data is due",
            "if this is meant: pytest flows/checkout.db --flows-update --allow-loosening",
            f"FAILED {BOBS} - *loosened*",
        ],
        consecutive=False,
    )


def test_what_lets_less_pass_is_shown_as_tightened_with_what_fails_now(shop: Shop) -> None:
    shop.tighten()
    result = shop.run()
    result.stdout.fnmatch_lines(
        [
            "tightened: allow (support-refunds) -> deny (no-rule-allows)",
            "rules/policy.yaml:6: support-refunds (allow) does not apply",
            "    fails     path: expected /v2/refunds, line 8",
            "rules/policy.yaml:6: support-refunds (allow) came nearest to allowing it",
            "if this is meant: pytest flows/checkout.db --flows-update",
        ]
    )


def test_a_mask_that_is_no_longer_applied_is_lost(shop: Shop) -> None:
    shop.unmask()
    result = shop.run()
    outcomes(result, passed=3, failed=1)
    result.stdout.fnmatch_lines(
        ["mask lost: *", "* - - {location: /email, entity: EMAIL_ADDRESS, operator: redact, count: 1}"]
    )


def test_a_mask_that_is_new_is_gained(shop: Shop) -> None:
    shop.change("rules/masking.yaml", '["$.name"]', '["$.name", "$.plan"]')
    result = shop.run()
    outcomes(result, passed=3, failed=1)
    result.stdout.fnmatch_lines(["mask gained: *", "* + - {location: /plan, entity: field, *"])


def test_another_rule_with_the_same_answer_is_only_that(shop: Shop) -> None:
    shop.change("rules/policy.yaml", "id: nobody-deletes", "id: never-deleted")
    result = shop.run()
    outcomes(result, passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "rule changed: deny (nobody-deletes) -> deny (never-deleted)",
            "nobody-deletes: is not among the rules any more",
        ]
    )


def test_what_can_no_longer_be_said_for_certain_fails_as_unknown(shop: Shop) -> None:
    """The rules ask for a body of which the recording has no more than a mark."""
    secret = flow(5, "POST", "/v1/refunds", rule="support-refunds", sent=b'{"card": "[CREDIT_CARD]", "amount": 5}')
    save(shop.database, [*CHECKOUT, secret])
    outcomes(shop.run("--flows-update"), passed=5)
    shop.change("rules/policy.yaml", "path: /v1/refunds}", 'path: /v1/refunds, body: {"$.amount": 5}}')
    result = shop.run()
    result.stdout.fnmatch_lines(
        ["*unknown*: allow (support-refunds) -> *uncertain)", "  + could_be: [[]passes, refused[]]"]
    )


def test_no_failure_shows_what_a_body_a_header_or_a_query_held(shop: Shop) -> None:
    """A rule that asks for them fails, and the rules of today would mask what they held."""
    headers = ((b"x-account", b"DE44 5001 0517 5407 3249 31"),)
    told = flow(
        5, "POST", "/v1/refunds?iban=GB33BUKB20201555555555", rule="support-refunds", headers=headers,
        sent=b'{"order": 7, "to": "ada@example.com"}', got=b'{"sent": "to ada@example.com"}',
    )  # fmt: skip
    save(shop.database, [*CHECKOUT, told])
    outcomes(shop.run("--flows-update"), passed=5)
    shop.change(
        "rules/policy.yaml",
        "path: /v1/refunds}",
        'path: /v1/refunds, body: {"$.to": "x"}, headers: {x-account: y}, query: {iban: z}}',
    )
    for more in ([], ["-vv", "--showlocals"], ["--tb=long", "--full-trace"]):
        said = shop.run(*more).stdout.str()
        assert "fails     body" in said
        assert not [held for held in ("ada@example.com", "5407", "20201555") if held in said]


def test_reports_point_to_the_rule_that_decides(shop: Shop) -> None:
    places = {report.nodeid: report.location for report in _reports(shop.run())}
    assert places[DELETE][:2] == ("rules/policy.yaml", 9)
    assert places[BOBS][0] == "flows/checkout.db", "no rule decided that"


def _reports(result: pytest.RunResult) -> Iterator[pytest.TestReport]:
    yield from (report for report in result.reprec.getreports("pytest_runtest_logreport") if report.when == "call")  # type: ignore[attr-defined]


# -- expectations and files -------------------------------------------------------------------------------------------


def test_a_flow_of_which_nothing_is_expected_fails_and_says_what_to_do(shop: Shop) -> None:
    save(shop.database, [*CHECKOUT, flow(5, "GET", "/v1/customers/99", rule="support-reads")])
    result = shop.run()
    outcomes(result, passed=4, failed=1)
    result.stdout.fnmatch_lines(
        ["nothing is expected of this flow: `pytest flows/checkout.db --flows-update-new-only`*"]
    )


def test_an_expectation_whose_flow_is_gone_fails(shop: Shop) -> None:
    save(shop.database, CHECKOUT[:3])
    result = shop.run()
    outcomes(result, passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "stale: no flow of flows/checkout.db has this name any more (flows/checkout.expected.yaml:*",
            f"FAILED {DELETE}*",
        ]
    )


def test_expectations_without_any_recording_fail(shop: Shop) -> None:
    shop.database.unlink()
    result = shop.run()
    outcomes(result, failed=1)
    result.stdout.fnmatch_lines(["*`flows/checkout.expected.yaml` has no recording: `flows/checkout.db` is not there*"])


def test_a_damaged_recording_is_one_test_that_fails(shop: Shop) -> None:
    data = shop.database.read_bytes()
    shop.database.write_bytes(data[: len(data) // 2])
    result = shop.run("tests", "--co", "-q", where="flows")
    assert result.ret == pytest.ExitCode.OK
    result = shop.run()
    outcomes(result, failed=1)
    result.stdout.fnmatch_lines(["*the capture `*checkout.db` cannot be read: it is damaged*"])


def test_a_recording_with_values_of_the_wrong_kind_is_one_test_that_fails(shop: Shop) -> None:
    with closing(sqlite3.connect(shop.database)) as connection:
        connection.execute("update flows set req_headers = '[[1]]'")
        connection.commit()
    result = shop.run()
    outcomes(result, failed=1)
    result.stdout.fnmatch_lines(["*`flows/checkout.db` is damaged: reading it ended with ValueError*"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("flows: {\n", "*checkout.expected.yaml:2: not YAML*"),
        ("flows:\n  a: {effect: deny}\n  a: {effect: allow}\n", "*checkout.expected.yaml:3: *`a`*"),
        ("flow: {}\n", "*checkout.expected.yaml:1: no expectations; accepted: a mapping with `flows:`*"),
        ("flows: {}\nrulez: here\n", "*`rulez` is unknown; accepted: `flows`, `rules`*"),
        ("flows: {}\nrules: [a]\n", "*`rules` is no text*"),
        ("flows:\n  a:\n    rules: []\n", "*checkout.expected.yaml:2: no expectation of `a`*"),
    ],
)
def test_damaged_expectations_are_one_test_that_fails(shop: Shop, text: str, said: str) -> None:
    shop.expected.write_text(text)
    result = shop.run()
    outcomes(result, failed=1)
    result.stdout.fnmatch_lines([said])


def test_rules_that_cannot_be_used_fail_each_flow_with_every_problem(shop: Shop) -> None:
    shop.change("rules/policy.yaml", "effect: deny", "effect: dney")
    result = shop.run()
    outcomes(result, failed=4)
    result.stdout.fnmatch_lines(["*the rules in `rules` cannot be used:*", "rules/policy.yaml:11:*"])


def test_a_database_of_another_program_is_left_alone(shop: Shop) -> None:
    other = shop.root / "flows/prefect.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("create table runs (id integer primary key)")
    outcomes(shop.run(), passed=4)
    (shop.root / "flows/prefect.expected.yaml").write_text("flows: {}\n")
    result = shop.run()
    outcomes(result, passed=4, failed=1)
    result.stdout.fnmatch_lines(["*prefect.db` is a database of something else*"])


def test_what_is_saved_from_a_capture_passes_at_once(shop: Shop, tmp_path: Path) -> None:
    """`headgate flows save` writes both files, by the same rules and under the same names."""
    source = save(tmp_path / "capture.db")
    capture = Store(source.parent, source.name)
    saved = save_flows(capture, capture.walk(), load_bundle(shop.root / "rules"), shop.root / "flows", "day")
    assert saved.flows == 4
    result = shop.run("flows/day.db", where=None)
    outcomes(result, passed=4)
    assert list(load(saved.expected).flows) == [name.partition("::")[2] for name in NAMES]


# -- which rules ------------------------------------------------------------------------------------------------------


def test_a_recording_may_name_the_rules_that_it_is_judged_by(shop: Shop) -> None:
    (shop.root / "rules").rename(shop.root / "other")
    outcomes(shop.run(), failed=4)
    shop.expected.write_text("rules: other\n" + shop.expected.read_text())
    outcomes(shop.run(), passed=4)


def test_other_rules_are_tried_on_the_same_flows(shop: Shop) -> None:
    (shop.root / "rules").rename(shop.root / "new")
    outcomes(shop.run("--flows-rules", "new"), passed=4)
    shop.expected.write_text("rules: gone\n" + shop.expected.read_text())
    outcomes(shop.run("--flows-rules", "new"), passed=4)


def test_folders_are_named_in_the_configuration(shop: Shop) -> None:
    (shop.root / "rules").rename(shop.root / "policies")
    (shop.root / "flows").rename(shop.root / "recorded")
    shop.change("pyproject.toml", "testpaths", 'flows_rules = "policies"\nflows_dir = "recorded"\ntestpaths')
    outcomes(shop.run(where="recorded"), passed=4)


def test_recordings_elsewhere_are_no_tests(shop: Shop) -> None:
    (shop.root / "flows/more").mkdir()
    save(shop.root / "flows/more/checkout.db")
    save(shop.root / "tests/checkout.db")
    outcomes(shop.run("tests", "-k", "checkout.db"), passed=4, deselected=4)
