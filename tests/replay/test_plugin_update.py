"""`--flows-update` shows what changes and writes it, and nothing else: not what a part of a run did not see, not what
lets more pass unless that is said to be meant, and never from a worker."""

import json

import pytest
from tests.replay.checkout import CHECKOUT, flow, save
from tests.replay.shop import BOBS, DELETE, READ, REFUND, Shop, outcomes

from headgate.replay.expectations import load

pytest_plugins = ["pytester"]


@pytest.fixture
def shop(pytester: pytest.Pytester) -> Shop:
    return Shop(pytester)


def name_of(node_id: str) -> str:
    return node_id.partition("::")[2]


def test_a_change_is_shown_and_then_written(shop: Shop) -> None:
    shop.tighten()
    result = shop.run("--flows-update")
    outcomes(result, passed=4)
    result.stdout.fnmatch_lines(
        [
            f"{REFUND}: tightened: allow (support-refunds) -> deny (no-rule-allows)",
            "    - effect: allow",
            "    + effect: deny",
            "wrote flows/checkout.expected.yaml: 1 changed",
        ]
    )
    assert load(shop.expected).flows[name_of(REFUND)]["effect"] == "deny"
    outcomes(shop.run(), passed=4)


def test_without_a_change_the_file_stays_as_it_is(shop: Shop) -> None:
    shop.expected.write_text("# mine\n" + shop.expected.read_text())
    before = shop.expected.read_bytes()
    result = shop.run("--flows-update")
    outcomes(result, passed=4)
    assert shop.expected.read_bytes() == before
    result.stdout.no_fnmatch_line("wrote *")


def test_the_same_content_makes_the_same_file(shop: Shop) -> None:
    before = shop.expected.read_bytes()
    shop.expected.unlink()
    outcomes(shop.run("--flows-update", REFUND, where=None), passed=1)
    outcomes(shop.run("--flows-update"), passed=4)
    assert shop.expected.read_bytes() == before, "in the order of the recording, whatever ran first"


@pytest.mark.parametrize("change", ["loosen", "unmask"])
def test_what_lets_more_pass_or_masks_less_is_not_written(shop: Shop, change: str) -> None:
    getattr(shop, change)()
    before = shop.expected.read_bytes()
    result = shop.run("--flows-update")
    outcomes(result, passed=3, failed=1)
    result.stdout.fnmatch_lines(["not written: *`--allow-loosening`*"])
    assert shop.expected.read_bytes() == before


def test_what_becomes_uncertain_is_not_written_either(shop: Shop) -> None:
    secret = flow(5, "POST", "/v1/refunds", rule="support-refunds", sent=b'{"card": "[CREDIT_CARD]"}')
    save(shop.database, [*CHECKOUT, secret])
    outcomes(shop.run("--flows-update"), passed=5)
    shop.change("rules/policy.yaml", "match: {method: DELETE}", 'match: {body: {"$.card": "4"}}')
    result = shop.run("--flows-update", "-k", "refunds")
    outcomes(result, passed=1, failed=1, deselected=3)
    result.stdout.fnmatch_lines(["*unknown*uncertain)", "not written: *"])


def test_loosening_is_written_when_it_is_said_to_be_meant(shop: Shop) -> None:
    shop.loosen()
    shop.unmask()
    result = shop.run("--flows-update", "--allow-loosening")
    outcomes(result, passed=4)
    result.stdout.fnmatch_lines([f"{READ}: mask lost: *", f"{BOBS}: loosened: *", "wrote *: 2 changed"])
    outcomes(shop.run(), passed=4)


def test_loosening_alone_writes_nothing(shop: Shop) -> None:
    shop.loosen()
    before = shop.expected.read_bytes()
    outcomes(shop.run("--allow-loosening"), passed=3, failed=1)
    assert shop.expected.read_bytes() == before


def test_new_flows_alone_can_be_added(shop: Shop) -> None:
    shop.tighten()
    save(shop.database, [*CHECKOUT, flow(5, "GET", "/v1/customers/99", rule="support-reads")])
    result = shop.run("--flows-update-new-only")
    outcomes(result, passed=4, failed=1)
    result.stdout.fnmatch_lines(["wrote flows/checkout.expected.yaml: 1 new"])
    flows = load(shop.expected).flows
    assert len(flows) == 5
    assert flows[name_of(REFUND)]["effect"] == "allow"


def test_what_is_stale_goes_when_the_whole_file_runs(shop: Shop) -> None:
    save(shop.database, CHECKOUT[:3])
    result = shop.run("--flows-update")
    outcomes(result, passed=4)
    result.stdout.fnmatch_lines([f"{DELETE}: stale, and taken out", "wrote *: 1 stale"])
    outcomes(shop.run(), passed=3)


@pytest.mark.parametrize(
    "chosen",
    [("flows", "-k", "DELETE or refunds"), (REFUND, DELETE), ("flows", "--deselect", REFUND), (DELETE,)],
    ids=["expression", "names", "deselected", "itself"],
)
def test_a_part_of_a_run_takes_nothing_out(shop: Shop, chosen: tuple[str, ...]) -> None:
    save(shop.database, CHECKOUT[:3])
    result = shop.run("--flows-update", *chosen, where=None)
    result.stdout.fnmatch_lines(["stale: *what is stale goes only if all of the file runs"])
    assert name_of(DELETE) in load(shop.expected).flows


def test_a_run_that_stops_early_takes_nothing_out(shop: Shop) -> None:
    """The stale one comes last, and so it has to be brought forward."""
    save(shop.database, CHECKOUT[:3])
    shop.loosen()
    shop.pytester.makeconftest("def pytest_collection_modifyitems(items):\n    items.reverse()\n")
    result = shop.run("--flows-update", "-x")
    outcomes(result, passed=1, failed=1)
    assert name_of(DELETE) in load(shop.expected).flows


def test_under_xdist_the_file_is_written_once_by_nobody_but_the_controller(shop: Shop) -> None:
    shop.tighten()
    save(shop.database, CHECKOUT[:3])
    result = shop.run("--flows-update", "-n", "2", apart=True)
    outcomes(result, passed=4)
    result.stdout.fnmatch_lines([f"{REFUND}: tightened: *", "wrote flows/checkout.expected.yaml: 1 changed, 1 stale"])
    assert result.stdout.str().count("wrote ") == 1
    assert sorted(path.name for path in shop.expected.parent.iterdir()) == ["checkout.db", "checkout.expected.yaml"]
    outcomes(shop.run(), passed=3)


def test_the_rules_that_a_file_names_stay_in_it(shop: Shop) -> None:
    shop.expected.write_text("rules: rules\n" + shop.expected.read_text())
    shop.tighten()
    outcomes(shop.run("--flows-update"), passed=4)
    assert load(shop.expected).rules == "rules"


def test_a_file_that_changed_meanwhile_is_not_overwritten(shop: Shop) -> None:
    shop.tighten()
    shop.pytester.makeconftest(
        "from pathlib import Path\n"
        "def pytest_runtest_teardown(item):\n"
        "    path = Path('flows/checkout.expected.yaml')\n"
        "    path.write_text(path.read_text().replace('reason: allowed-by-rule', 'reason: mine'))\n"
    )
    result = shop.run("--flows-update")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["could not be written: *has changed while the tests ran: run them again"])
    assert "reason: mine" in shop.expected.read_text()


def test_what_cannot_be_written_fails_the_run(shop: Shop) -> None:
    result = shop.run("--flows-report", "no/such/folder.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["could not be written: no such file or directory"])


def test_a_report_says_what_differs_as_json(shop: Shop) -> None:
    shop.loosen()
    outcomes(shop.run("--flows-report", "report.json"), passed=3, failed=1)
    report = json.loads((shop.root / "report.json").read_text())
    assert report["compared"] == 4
    assert report["counts"] == {"same": 3, "new": 0, "changed": 1, "stale": 0}
    (changed,) = report["flows"]
    assert changed["directions"] == ["loosened"]
    assert changed["place"] == "rules/policy.yaml:2"
    assert changed["expected"]["effect"] == "deny"
    assert changed["came"]["effect"] == "allow"


def test_a_report_says_what_differs_as_markdown(shop: Shop) -> None:
    shop.tighten()
    outcomes(shop.run("--flows-report", "report.md"), passed=3, failed=1)
    lines = (shop.root / "report.md").read_text().splitlines()
    assert lines[0] == "4 recorded flows: 3 same, 0 new, 1 changed, 0 stale"
    assert lines[-1] == f"| `{REFUND}` | tightened: allow (support-refunds) -> deny (no-rule-allows) |  |"
