"""One round of masking: everything of one exchange that has to be masked under one plan.

The same function does it inline and in a worker process.
"""

from collections.abc import Callable
from typing import NamedTuple

from headgate.masking.outgoing import mask_outgoing
from headgate.masking.plan import CannotMask, Detect, Plan, detect_nothing
from headgate.masking.response import MaskedResponse, Received, mask_response
from headgate.masking.scrub import Sent, outline, scrub


class Job(NamedTuple):
    """`plan` is what is due to the caller, `record` what is due of the record; they differ for who is excepted.

    With `upstream`, it is the request that is masked by `plan`, before it is sent on.
    """

    plan: Plan | None
    record: Plan | None
    sent: Sent
    received: Received | None
    upstream: bool = False


class Done(NamedTuple):
    """`refused` is why the response cannot be masked; then `masked` is None, as it is without a response or a plan.

    `recorded` is the response as its record has it: None when that is what the caller gets, or nothing at all.
    """

    sent: Sent
    masked: MaskedResponse | None
    refused: str | None
    recorded: MaskedResponse | None = None


def run(job: Job, detector: Callable[[Plan], Detect]) -> Done:
    """Never raises CannotMask: of a request that cannot be masked the outline is left."""
    if job.upstream and job.plan is not None:
        return _outgoing(job.plan, job.sent, detector)
    masked, recorded, refused = None, None, None
    if job.received is not None and job.plan is not None:
        try:
            masked = mask_response(job.plan, job.received, detector(job.plan))
        except CannotMask as cannot:
            refused = cannot.reason
    if job.received is not None and job.record is not None and job.record != job.plan:
        recorded = _recorded(job.record, job.received, detector)
    return Done(_scrubbed(job, detector), masked, refused, recorded)


def _outgoing(plan: Plan, sent: Sent, detector: Callable[[Plan], Detect]) -> Done:
    try:
        return Done(mask_outgoing(plan, sent, detector(plan)), None, None)
    except CannotMask as cannot:
        return Done(outline(sent), None, cannot.reason)


def _recorded(plan: Plan, received: Received, detector: Callable[[Plan], Detect]) -> MaskedResponse | None:
    try:
        return mask_response(plan, received, detector(plan))
    except CannotMask:
        return None


def _scrubbed(job: Job, detector: Callable[[Plan], Detect]) -> Sent:
    try:
        return scrub(job.sent, job.record, detector(job.record) if job.record else detect_nothing)
    except CannotMask:
        return outline(job.sent)
