"""Has what lasts judged again without the usual pause: the test cannot wait for half a minute."""

from mitmproxy import ctx

SECONDS = 0.3


def running() -> None:
    ctx.master.addons.get("headgate")._runtime.rejudge.interval = SECONDS
