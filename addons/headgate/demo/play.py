"""Play the scenes against a stage that is up, and ask everybody afterwards what happened."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from headgate.capture.store import Entry, Filter, Store
from headgate.demo.again import about_the_log, about_the_replay, outcomes_logged
from headgate.demo.outcomes import Got, Outcome, about_the_api, about_the_record
from headgate.demo.provider import Signer
from headgate.demo.scenes import SCENES, Scene, tokens
from headgate.demo.stage import Stage
from headgate.errors import HeadgateError
from headgate.proxy.process import Process

ANSWER_SECONDS = 20.0
RECORD_SECONDS = 10.0
LOOK_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class Played:
    """Every outcome, and what was wrong with all of them together."""

    outcomes: Sequence[Outcome]
    wrong: Sequence[str]

    @property
    def as_expected(self) -> bool:
        return not self.wrong and not any(list(outcome.surprises()) for outcome in self.outcomes)


def play(
    on: Stage, clock: Callable[[], float], told: Callable[[Scene], None], scenes: Sequence[Scene] = SCENES
) -> Played:
    """Make every request, one after the other; `told` hears of each before it is made."""
    shown = tokens(on.provider, Signer(clock))
    with httpx.Client(base_url=on.url, trust_env=False, timeout=ANSWER_SECONDS) as client:
        got = []
        for scene in scenes:
            told(scene)
            got.append(_ask(client, on.proxy, scene, shown))
    entries = _recorded(on.state, len(scenes))
    outcomes = [Outcome(*each) for each in zip(scenes, got, entries, strict=True)]
    wrong = [*about_the_api(scenes, on.api.calls), *about_the_record(entries, on.proxy.text, shown.values())]
    wrong += [*about_the_log(on.state, entries), *about_the_replay(entries, on.rules)]
    return Played(outcomes, wrong)


def _ask(client: httpx.Client, proxy: Process, scene: Scene, shown: Mapping[str, str]) -> Got:
    headers = [*scene.headers, *([("Authorization", f"Bearer {shown[scene.token]}")] if scene.token else [])]
    as_written = {"target": scene.target.encode()}  # httpx would resolve `..` before sending
    try:
        answer = client.request(scene.method, "/", headers=headers, content=scene.body, extensions=as_written)
    except httpx.HTTPError as error:
        what = f"`{scene.method} {scene.target}` was not answered: {type(error).__name__}"
        raise HeadgateError(what if proxy.running else f"{what}; {proxy.obituary()}") from None
    return Got(answer.status_code, answer.headers, answer.text)


def _recorded(state: Path, count: int) -> list[Entry]:
    """The record of each request, in the order in which they were made; the proxy writes a moment later."""
    store, end = Store(state), time.monotonic() + RECORD_SECONDS
    while True:
        found = store.summaries(Filter(), count + 1)
        if (len(found) >= count and outcomes_logged(state) >= count) or time.monotonic() > end:
            break
        time.sleep(LOOK_EVERY)
    if len(found) != count:
        raise HeadgateError(f"{count} requests were made, and {len(found)} are recorded")
    return [store.entry(summary.decision_id) for summary in sorted(found, key=lambda summary: summary.time)]
