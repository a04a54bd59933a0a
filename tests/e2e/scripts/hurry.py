"""Has what lasts judged again without the usual pause: the test cannot wait for half a minute.

Only the pause is shorter: a machine that is busy for a second has not stopped judging.
"""

from mitmproxy import ctx

SECONDS = 0.3


def running() -> None:
    rejudge = ctx.master.addons.get("headgate")._runtime.rejudge
    rejudge.patience *= rejudge.interval / SECONDS
    rejudge.interval = SECONDS
