"""pytest loads the plugin in every run of everybody who has Headgate: it takes milliseconds, and breaks nothing."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from tests.replay.shop import PLUGIN, Shop, outcomes

pytest_plugins = ["pytester"]

OWN = {"headgate", "headgate.replay", "headgate.replay.fixtures", "headgate.replay.places", "headgate.replay.plugin"}
HEAVY = {
    *("_cel", "click", "cryptography", "google.re2", "httpx", "jsonschema_rs", "jwt", "mitmproxy", "nacl", "pydantic"),
    *("presidio_analyzer", "regex", "rich", "spacy", "sqlite3", "sqlite_utils", "tldextract", "tornado", "yaml"),
}
BLOCKED = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(HEAVY - {"sqlite3"})!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


def printed(program: str) -> set[str]:
    command = [sys.executable, "-c", program]
    return set(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split())


def test_loading_it_imports_nothing_but_pytest() -> None:
    new = printed(
        "import sys, typing, contextlib, pathlib, pytest\n"
        "before = set(sys.modules)\n"
        "import headgate.replay.plugin\n"
        "print(*set(sys.modules) - before)"
    )
    assert new == OWN


def test_a_run_without_flows_imports_nothing_of_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import sys

        def test_nothing_was_imported():
            assert not [name for name in {sorted(HEAVY)!r} if name in sys.modules]
            ours = {{name for name in sys.modules if name.partition(".")[0] == "headgate"}}
            assert ours == set({sorted(OWN)!r})
        """
    )
    others = ("-p", "no:anyio", "-p", "no:hypothesispytest")
    outcomes(pytester.run(sys.executable, "-m", "pytest", *others, *PLUGIN), passed=1)


def test_no_warning_comes_of_it_and_strict_settings_hold(pytester: pytest.Pytester) -> None:
    shop = Shop(pytester)
    strict = ("--strict-markers", "--strict-config", "--import-mode=importlib")
    command = (sys.executable, "-W", "error", "-m", "pytest", *PLUGIN, *strict, "flows")
    result = pytester.run(*command)
    outcomes(result, passed=4)
    assert "warnings" not in result.parseoutcomes()
    assert "Warning" not in result.stderr.str()
    shop.tighten()
    outcomes(pytester.run(*command), passed=3, failed=1)


def test_it_can_be_left_out(pytester: pytest.Pytester) -> None:
    shop = Shop(pytester)
    name = "headgate" if entry_points(group="pytest11", name="headgate") else "headgate.replay.plugin"
    shop.pytester.makepyfile("def test_one(): pass")
    arguments = [argument for argument in PLUGIN if not argument.startswith(("-p", "headgate"))]
    result = pytester.runpytest_inprocess(*arguments, "-p", f"no:{name}", ".", "--ignore=tests")
    outcomes(result, passed=1)


@pytest.mark.parametrize("without", ["xdist", "cacheprovider", "terminal", "junitxml"])
def test_it_works_without_other_plugins(pytester: pytest.Pytester, without: str) -> None:
    shop = Shop(pytester)
    result = shop.run("-p", f"no:{without}")
    assert result.ret == pytest.ExitCode.OK
    shop.tighten()
    assert shop.run("-p", f"no:{without}").ret == pytest.ExitCode.TESTS_FAILED
    assert shop.run("-p", f"no:{without}", "--flows-update").ret == pytest.ExitCode.OK
    assert shop.run("-p", f"no:{without}").ret == pytest.ExitCode.OK


def test_where_headgate_is_not_whole_only_flows_fail_and_say_so(pytester: pytest.Pytester) -> None:
    shop = Shop(pytester)
    shop.pytester.makeconftest(BLOCKED)
    shop.pytester.makepyfile("def test_one(): pass")
    result = shop.run("--ignore=tests", where=".", apart=True)
    outcomes(result, passed=1, failed=1)
    result.stdout.fnmatch_lines(["*`flows/checkout.db` cannot be judged here: Headgate is not whole, `*` is missing"])


def test_flows_run_beside_other_tests(pytester: pytest.Pytester) -> None:
    shop = Shop(pytester)
    shop.pytester.makepyfile("def test_one(): pass")
    shop.database.write_bytes(b"SQLite format 3\0 and then nothing of the kind")
    outcomes(shop.run("--ignore=tests", where="."), passed=1, failed=1)


def test_its_fixtures_are_listed_with_what_they_do(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess(*PLUGIN, "--fixtures")
    result.stdout.fnmatch_lines_random(
        [f"{name} [[]session scope[]] -- *" for name in ("flow_db", "headgate_proxy", "mint_token", "replay_upstream")]
    )


def test_its_options_are_explained(pytester: pytest.Pytester) -> None:
    said = pytester.runpytest_inprocess(*PLUGIN, "--help").stdout.str()
    options = ("--flows-update", "--flows-update-new-only", "--allow-loosening", "--flows-rules", "--flows-report")
    assert [option for option in (*options, "flows_dir", "flows_rules") if option not in said] == []
