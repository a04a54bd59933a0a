"""The example project is run as the project that it is (test_fixtures.py), not as tests of this one."""

collect_ignore = ["example"]
