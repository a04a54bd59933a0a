"""The plan that tests of streams mask by, and the real detector for it."""

import pytest
from tests.masking.streams.chunks import ENTITIES

from headgate.masking.detection.detector import Detector
from headgate.masking.plan import Operator, Plan, Wanted


@pytest.fixture(scope="session")
def plan() -> Plan:
    return Plan(detect=tuple(Wanted(entity, Operator.REDACT) for entity in ENTITIES))


@pytest.fixture(scope="session")
def detector(plan: Plan) -> Detector:
    return Detector(plan)
