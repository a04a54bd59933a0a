"""Work is paid for before it is done."""

import pytest

from headgate.masking.detection.budget import Budget, OverBudget


def test_a_budget_is_spent_to_the_last_unit_and_no_further() -> None:
    budget = Budget(10)
    budget.spend(4)
    budget.spend(6)
    assert budget.left == 0
    with pytest.raises(OverBudget) as over:
        budget.spend(1)
    assert over.value.reason == "detection-too-slow"


def test_once_over_it_stays_over() -> None:
    budget = Budget(1)
    with pytest.raises(OverBudget):
        budget.spend(2)
    with pytest.raises(OverBudget):
        budget.spend(0)
