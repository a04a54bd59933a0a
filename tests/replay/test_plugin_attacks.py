"""Ways to make recorded flows pass that should not: by their file, by what is expected of them, or by their absence."""

import re
import sqlite3
from contextlib import closing
from itertools import pairwise

import pytest
from tests.replay.checkout import ANA, CHECKOUT, CUSTOMER, MASKED, flow, save
from tests.replay.shop import READ, REFUND, Shop, outcomes

pytest_plugins = ["pytester"]


@pytest.fixture
def shop(pytester: pytest.Pytester) -> Shop:
    return Shop(pytester)


def execute(shop: Shop, *statements: str) -> None:
    with closing(sqlite3.connect(shop.database)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


# -- what the rules do that no record counts ---------------------------------------------------------------------------


def test_a_mask_of_what_goes_on_that_is_gone_is_lost(shop: Shop) -> None:
    shop.change(
        "rules/masking.yaml", "    detect: [EMAIL_ADDRESS]\n", "    detect: [EMAIL_ADDRESS]\n    request: true\n"
    )
    outcomes(shop.run("--flows-update", "--allow-loosening"), passed=4)
    assert "request_masks: [$.name redact, EMAIL_ADDRESS redact api]" in shop.expected.read_text()
    outcomes(shop.run(), passed=4)
    shop.change("rules/masking.yaml", "    request: true\n", "")
    before = shop.expected.read_bytes()
    result = shop.run("--flows-update", READ, where=None)
    outcomes(result, failed=1)
    result.stdout.fnmatch_lines(["mask lost: *"])
    assert shop.expected.read_bytes() == before


def test_a_header_that_is_no_longer_taken_off_is_noticed(shop: Shop) -> None:
    line = "path: /v1/refunds}\n"
    shop.change("rules/policy.yaml", line, f"{line}    remove_headers: [x-internal]\n")
    result = shop.run(REFUND, where=None)
    outcomes(result, failed=1)
    result.stdout.fnmatch_lines(["*+ remove_headers:*x-internal*"])
    outcomes(shop.run("--flows-update"), passed=4)
    shop.change("rules/policy.yaml", "    remove_headers: [x-internal]\n", "")
    outcomes(shop.run(REFUND, where=None), failed=1)


def test_other_people_who_approve_are_noticed(shop: Shop) -> None:
    match = "    match: {principal: {groups: [support]}, target: shop, method: POST, path: /v1/refunds}\n"
    asks = f"    effect: approve\n{match}    approval: {{by: {{groups: [leads]}}, quorum: 2}}\n"
    shop.change("rules/policy.yaml", f"    effect: allow\n{match}", asks)
    outcomes(shop.run("--flows-update"), passed=4)
    outcomes(shop.run(), passed=4)
    shop.change("rules/policy.yaml", "quorum: 2", "quorum: 1")
    outcomes(shop.run(REFUND, where=None), failed=1)


# -- what is expected --------------------------------------------------------------------------------------------------


def recorded_anew(shop: Shop) -> None:
    """The same request of the same caller with one header more, so that it goes by another name."""
    read = flow(
        1, "GET", "/v1/customers/17", ANA, rule="support-reads", got=CUSTOMER, masks=MASKED, headers=((b"x-a", b"1"),)
    )
    save(shop.database, [read, *CHECKOUT[1:]])


@pytest.mark.parametrize("how", ["--flows-update", "--flows-update-new-only"])
def test_a_flow_that_is_recorded_anew_does_not_hide_what_was_loosened(shop: Shop, how: str) -> None:
    recorded_anew(shop)
    shop.unmask()
    result = shop.run(how)
    result.stdout.fnmatch_lines(["not written: it takes the place of `GET /v1/customers/17#32ce`*"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert shop.run(how).ret == pytest.ExitCode.TESTS_FAILED, "what was there is still compared with"
    outcomes(shop.run("--flows-update", "--allow-loosening"), passed=5)


def test_a_flow_that_is_recorded_anew_and_says_the_same_is_written(shop: Shop) -> None:
    recorded_anew(shop)
    outcomes(shop.run("--flows-update"), passed=5)
    outcomes(shop.run(), passed=4)


LAUGHS = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in pairwise("abcdefgh"))


@pytest.mark.parametrize(
    "text",
    [
        "flows:\n  A: {effect: deny}\n  A: {effect: allow}\n",
        "flows: {}\nflows: {}\n",
        "flows:\n  A: {effect: deny, effect: allow}\n",
        "flows:\n  A: &a {effect: deny}\n  B: *a\n",
        "flows:\n  A: {<<: {effect: allow}}\n",
        "flows:\n  A: !!python/object/apply:os.system [id]\n",
        "flows:\n  A: !x {effect: deny}\n",
        LAUGHS + "flows: {}\n",
        "flows: {}\n---\nflows: {}\n",
        "flows: " + "[" * 5000 + "\n",
        "",
    ],
    ids=["name", "top", "member", "anchor", "merge", "python", "tag", "laughs", "two", "deep", "nothing"],
)
def test_expectations_that_have_more_than_one_reading_are_none(shop: Shop, text: str) -> None:
    shop.expected.write_text(text, encoding="utf-8")
    outcomes(shop.run(), failed=1)


# -- the recording -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["decisions", "flows", "masks", "_sqlite_migrations"])
def test_a_view_in_the_place_of_a_table_is_not_asked(shop: Shop, table: str) -> None:
    """It could ask without an end."""
    endless = "with recursive n(x) as (select 1 union all select x + 1 from n)"
    view = f"create view {table} as {endless} select kept.* from kept, n"  # noqa: S608 - one of the names above
    execute(shop, f"alter table {table} rename to kept", view)
    result = shop.run()
    outcomes(result, failed=1)
    result.stdout.fnmatch_lines(["*cannot be read*"])


def test_no_name_of_a_flow_moves_a_cursor_or_ends_a_line(shop: Shop) -> None:
    path = b"/x::y\x1b[31m\n4 passed"
    record = flow(1, "GET", "/x", got=None)
    record.line.target = path
    save(shop.database, [record])
    shop.expected.unlink()
    result = shop.run("-v")
    outcomes(result, failed=1)
    shown = re.sub(r"\x1b\[\d+(;\d+)*m", "", result.stdout.str())
    assert not re.search(r"^4 passed", shown, re.MULTILINE)
    assert "\x1b" not in shown


# -- nothing at all ----------------------------------------------------------------------------------------------------


def test_a_folder_of_flows_that_is_named_and_not_there_is_wrong_usage(shop: Shop) -> None:
    shop.change("pyproject.toml", "testpaths =", 'flows_dir = "recordings"\ntestpaths =')
    result = shop.run(where=None)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*flows_dir: there is no folder `recordings`*"])


def test_who_updates_without_any_flow_is_told(shop: Shop) -> None:
    shop.pytester.makepyfile(test_other="def test_other(): pass\n")
    result = shop.run("--flows-update", where="test_other.py")
    outcomes(result, passed=1)
    result.stdout.fnmatch_lines(["no flow ran: *"])
