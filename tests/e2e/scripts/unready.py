"""Puts the guard back to what it is before anybody has told it by what to judge."""

import logging

from mitmproxy import ctx

from headgate.proxy.stages import NO_STAGES


def running() -> None:
    ctx.master.addons.get("headgate").guard.begin(NO_STAGES, lambda: None)
    logging.info("the guard has not begun")
