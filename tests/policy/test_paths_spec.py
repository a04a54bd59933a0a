"""What targets.yaml may say of the paths of a target."""

from typing import Any

import pytest
from pydantic import ValidationError

from headgate.model import STRICT, PathRules
from headgate.policy.paths_spec import PathsSpec


def test_what_is_not_said_stays_refused() -> None:
    assert PathsSpec.model_validate({}).rules() == STRICT == PathRules()


@pytest.mark.parametrize(
    ("written", "rules"),
    [
        ({"merge_slashes": True}, PathRules(merge_slashes=True)),
        ({"case": "insensitive"}, PathRules(fold_case=True)),
        ({"encoded_slash": "keep"}, PathRules(encoded_slash=True)),
        ({"parameters": "keep"}, PathRules(parameters=True)),
        (
            {"merge_slashes": False, "case": "sensitive", "encoded_slash": "refuse", "parameters": "refuse"},
            STRICT,
        ),
    ],
)
def test_each_switch_loosens_one_thing(written: dict[str, Any], rules: PathRules) -> None:
    assert PathsSpec.model_validate(written).rules() == rules


@pytest.mark.parametrize(
    "written",
    [
        {"merge_slashes": "yes"},
        {"merge_slashes": 1},
        {"case": "Insensitive"},
        {"case": True},
        {"encoded_slash": "decode"},
        {"parameters": None},
        {"dot_segments": "keep"},
    ],
)
def test_another_word_is_an_error(written: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PathsSpec.model_validate(written)
