"""One round of masking: everything of one exchange that has to be masked under one plan.

The same function does it inline and in a worker process.
"""

from typing import NamedTuple

from headgate.masking.plan import CannotMask, Detect, Plan
from headgate.masking.response import MaskedResponse, Received, mask_response
from headgate.masking.scrub import Sent, outline, scrub


class Job(NamedTuple):
    plan: Plan
    sent: Sent
    received: Received | None


class Done(NamedTuple):
    """`refused` is why the response cannot be masked; then `masked` is None, as it is without a response."""

    sent: Sent
    masked: MaskedResponse | None
    refused: str | None


def run(job: Job, detect: Detect) -> Done:
    """Never raises CannotMask: of a request that cannot be masked the outline is left."""
    masked, refused = None, None
    if job.received is not None:
        try:
            masked = mask_response(job.plan, job.received, detect)
        except CannotMask as cannot:
            refused = cannot.reason
    try:
        sent = scrub(job.sent, job.plan, detect)
    except CannotMask:
        sent = outline(job.sent)
    return Done(sent, masked, refused)
