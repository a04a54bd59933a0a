"""Keys that are published one by one: what naming them can cause, and what it cannot. In virtual time."""

import asyncio
import logging
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.identity.endpoint import Endpoint, Named, arrived, names, running
from tests.identity.virtual_time import run

from headgate.identity.following import MAX_WAITING
from headgate.identity.jwks import KeySet
from headgate.identity.keys import KeyRing, Timing
from headgate.identity.pemkeys import MAX_ABSENT, MAX_KEPT, MAX_QUEUED
from headgate.identity.reasons import Reason
from headgate.identity.sources import KeySource

BALANCER = Named(
    "balancer", KeySource(pem="https://public-keys.example.com/keys/", kid=re.compile(r"[0-9a-f]{4}(?:-[0-9a-f]{4})?"))
)
HOUR = 3600


def kid(number: int) -> str:
    return f"{number:04x}"


def path(name: str) -> str:
    return f"/keys/{name}"


@pytest.fixture
def pem(issuer: Any) -> Any:
    def of(name: str) -> bytes:
        data: bytes = issuer.private[name].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return data

    return of


@pytest.fixture
def endpoint(pem: Any) -> Endpoint:
    """Has keys 0000 to 0003, and among them one of RSA."""
    made = Endpoint()
    made.answers = {path(kid(number)): (200, pem("ec")) for number in range(3)} | {path(kid(3)): (200, pem("rsa"))}
    return made


def held(ring: KeyRing) -> list[str | None]:
    found = names(ring.keys(BALANCER))
    assert isinstance(found, list)
    return found


def find(ring: KeyRing, name: str | None, algorithm: str = "ES256") -> object:
    keys = ring.keys(BALANCER)
    assert isinstance(keys, KeySet)
    return keys.find(name, algorithm)


def test_nothing_is_fetched_until_a_token_names_a_key(endpoint: Endpoint) -> None:
    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            await asyncio.sleep(HOUR)
            assert held(ring) == []
            assert find(ring, kid(0)) is Reason.UNKNOWN_KEY
            assert ring.missing() == ()
            assert endpoint.asked == []

    run(test)


def test_a_key_is_fetched_by_its_id_when_a_token_names_it(endpoint: Endpoint) -> None:
    endpoint.takes = 0.3

    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            assert all(await asyncio.gather(*(arrived(ring, BALANCER, kid(0)) for _ in range(500))))
            assert endpoint.paths == [path(kid(0))]
            assert await arrived(ring, BALANCER, kid(3))
            assert held(ring) == [kid(0), kid(3)]
            assert getattr(find(ring, kid(3), "RS256"), "kty", None) == "RSA"
            assert find(ring, kid(3), "ES256") is Reason.KEY_UNFIT
            assert endpoint.paths == [path(kid(0)), path(kid(3))]

    run(test)


def test_a_request_before_the_ring_runs_waits_too(endpoint: Endpoint) -> None:
    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        early = asyncio.create_task(arrived(ring, BALANCER, kid(0)))
        await asyncio.sleep(1)
        async with running(ring):
            assert await early

    run(test)


def test_a_token_has_to_name_its_key_even_if_only_one_is_here(endpoint: Endpoint) -> None:
    """Which keys are here depends on who called before; a decision must not."""

    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            assert await arrived(ring, BALANCER, kid(0))
            assert find(ring, None) is Reason.KID_MISSING
            assert ring.arrival(BALANCER, None) is None

    run(test)


@pytest.mark.parametrize(
    "name",
    ["", "0", "000g", "00000", "0000-", "0000/", "0000/0000", "../0000", "0000/..", ".", "..", "%2e%2e", "0000?x",
     "0000#", "0000\n", "\n0000", "0000 ", "0000\0", "0000%0a", "//evil.example/0000", "@evil.example",
     "0000@evil.example", "É000"],
)  # fmt: skip
def test_an_id_of_another_form_is_never_asked_for(endpoint: Endpoint, name: str) -> None:
    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            assert ring.arrival(BALANCER, name) is None
            await asyncio.sleep(10)
            assert endpoint.asked == []

    run(test)


def test_fetches_keep_a_distance(endpoint: Endpoint) -> None:
    endpoint.takes = 0.1

    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            await asyncio.gather(*(arrived(ring, BALANCER, kid(number)) for number in range(5)))
            assert endpoint.times == [0, 0.3, 0.6, 0.9, 1.2]
            assert endpoint.most_at_once == 1

    run(test)


def test_a_key_that_is_not_there_is_not_asked_for_again_for_a_minute(pem: Any) -> None:
    for status in (403, 404):
        missing = Endpoint()
        missing.answers[path("ffff")] = status, b"s3cret"

        async def test(missing: Endpoint = missing) -> None:
            ring = missing.ring(BALANCER)
            async with running(ring):
                assert not await arrived(ring, BALANCER, "ffff")
                missing.answers[path("ffff")] = 200, pem("ec")
                await asyncio.sleep(59)
                assert ring.arrival(BALANCER, "ffff") is None
                await asyncio.sleep(2)
                assert await arrived(ring, BALANCER, "ffff")
                assert len(missing.asked) == 2

        run(test)


def test_what_is_not_there_is_told_to_nobody(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            assert not await arrived(ring, BALANCER, "ffff")

    with caplog.at_level(logging.DEBUG, logger="headgate"):
        run(test)
    assert caplog.text == ""


def test_another_failure_is_no_answer_and_the_key_may_be_asked_for_at_once(endpoint: Endpoint) -> None:
    good, endpoint.answers[path(kid(0))] = endpoint.answers[path(kid(0))], (500, b"")

    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            arrival = ring.arrival(BALANCER, kid(0))
            assert arrival is not None
            await asyncio.wait_for(arrival, 0.1)
            assert held(ring) == []
            endpoint.answers[path(kid(0))] = good
            assert await arrived(ring, BALANCER, kid(0))
            assert endpoint.times == [0, 0.2]

    run(test)


def test_the_queue_is_bounded_and_what_is_in_it_is_served_in_order(endpoint: Endpoint) -> None:
    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            for number in range(MAX_QUEUED):
                assert ring.arrival(BALANCER, kid(0x1000 + number)) is not None
            assert ring.arrival(BALANCER, kid(0)) is None
            assert ring.arrival(BALANCER, kid(0x1000)) is not None  # who names a queued key may join
            await asyncio.sleep(0.1)  # the first has been fetched
            assert await arrived(ring, BALANCER, kid(0)) is False  # it comes 32nd, after its deadline of 5 seconds
            await asyncio.sleep(3)
            assert held(ring) == [kid(0)]  # and is there for who tries again
            expected = [*(path(kid(0x1000 + number)) for number in range(MAX_QUEUED)), path(kid(0))]
            assert endpoint.paths == expected

    run(test)


def test_only_so_many_wait_and_who_gives_up_makes_room(endpoint: Endpoint) -> None:
    endpoint.takes = 1.0

    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            tasks = [asyncio.create_task(arrived(ring, BALANCER, kid(0))) for _ in range(MAX_WAITING)]
            await asyncio.sleep(0.5)
            assert ring.arrival(BALANCER, kid(0)) is None
            for task in tasks[1:]:
                task.cancel()
            await asyncio.gather(*tasks[1:], return_exceptions=True)
            assert ring.arrival(BALANCER, kid(0)) is not None
            assert await tasks[0]
            await asyncio.sleep(10)
            assert len(endpoint.asked) == 1  # who came while it was being fetched has it from that

    run(test)


def test_a_key_whose_every_waiter_has_gone_comes_all_the_same(endpoint: Endpoint) -> None:
    endpoint.takes = 1.0

    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            for number in range(2):
                waiting = asyncio.create_task(arrived(ring, BALANCER, kid(number)))
                await asyncio.sleep(0.1)
                waiting.cancel()
            await asyncio.sleep(5)
            assert held(ring) == [kid(0), kid(1)]

    run(test)


def test_known_keys_are_fetched_again_on_schedule(endpoint: Endpoint, pem: Any) -> None:
    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            await arrived(ring, BALANCER, kid(0))
            await arrived(ring, BALANCER, kid(1))
            before = ring.keys(BALANCER)
            await asyncio.sleep(400)
            assert endpoint.paths == [path(kid(0)), path(kid(1)), path(kid(0)), path(kid(1))]
            assert [round(when) for when in endpoint.times] == [0, 0, 300, 300]
            assert ring.keys(BALANCER) is before  # nothing has changed
            endpoint.answers[path(kid(1))] = 200, pem("stranger")
            await asyncio.sleep(300)
            assert ring.keys(BALANCER) is not before
            assert held(ring) == [kid(0), kid(1)]

    run(test)


def test_a_key_that_is_withdrawn_counts_no_longer(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    for status in (403, 404):

        async def test(status: int = status) -> None:
            endpoint.answers[path(kid(0))] = endpoint.answers[path(kid(1))]
            ring = endpoint.ring(BALANCER)
            async with running(ring):
                await arrived(ring, BALANCER, kid(0))
                await arrived(ring, BALANCER, kid(1))
                endpoint.answers[path(kid(0))] = status, b"s3cret"
                await asyncio.sleep(301)
                assert held(ring) == [kid(1)]
                assert find(ring, kid(0)) is Reason.UNKNOWN_KEY
                assert ring.arrival(BALANCER, kid(0)) is None

        caplog.clear()
        run(test)
        assert [record.getMessage() for record in caplog.records] == [
            "key `0000` of provider `balancer` is no longer published"
        ]


def test_a_key_that_cannot_be_refreshed_counts_for_a_day(endpoint: Endpoint) -> None:
    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            await arrived(ring, BALANCER, kid(0))
            await arrived(ring, BALANCER, kid(1))
            good, endpoint.answers[path(kid(0))] = endpoint.answers[path(kid(0))], (500, b"")
            await asyncio.sleep(24 * HOUR - 2)
            assert held(ring) == [kid(0), kid(1)]
            await asyncio.sleep(4)
            assert held(ring) == [kid(1)]
            assert find(ring, kid(0)) is Reason.KEYS_STALE
            assert ring.missing() == ()  # others of its callers get in
            endpoint.answers[path(kid(0))] = good
            assert await arrived(ring, BALANCER, kid(0))
            assert held(ring) == [kid(0), kid(1)]

    run(test)


def test_a_provider_all_of_whose_keys_are_too_old_is_missing(endpoint: Endpoint) -> None:
    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            await arrived(ring, BALANCER, kid(0))
            good, endpoint.answers[path(kid(0))] = endpoint.answers[path(kid(0))], (0, b"")
            await asyncio.sleep(24 * HOUR + 1)
            assert ring.missing() == ("balancer",)
            assert find(ring, kid(0)) is Reason.KEYS_STALE
            endpoint.answers[path(kid(0))] = good
            await asyncio.sleep(300)
            assert ring.missing() == ()  # it has mended by itself: nobody would call a proxy that is not ready

    run(test)


def test_a_key_that_cannot_be_refreshed_is_tried_less_and_less(endpoint: Endpoint) -> None:
    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            await arrived(ring, BALANCER, kid(0))
            endpoint.answers[path(kid(0))] = 500, b""
            await asyncio.sleep(1000)
            assert [round(when) for when in endpoint.times] == [0, 300, 301, 303, 307, 315, 331, 363, 427, 555, 811]

    run(test)


def test_of_too_many_keys_the_longest_unused_goes_first(endpoint: Endpoint, pem: Any) -> None:
    """Strangers publish at the same endpoint: naming their keys must not drive out one that is in use."""
    for number in range(MAX_KEPT + 20):
        endpoint.answers[path(kid(number))] = 200, pem("ec")

    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            for number in range(MAX_KEPT + 20):
                assert await arrived(ring, BALANCER, kid(number))
                find(ring, kid(0))
            assert len(held(ring)) == MAX_KEPT
            assert held(ring)[:2] == [kid(0), kid(21)]
            assert await arrived(ring, BALANCER, kid(1))  # fetched anew when it is named again

    run(test)


def test_what_is_not_there_is_remembered_within_bounds(endpoint: Endpoint) -> None:
    """An id that has been forgotten is asked for again: that costs one request, and no memory."""

    async def test() -> None:
        ring = endpoint.ring(BALANCER, timing=Timing(key_gap=0.001))
        async with running(ring):
            for number in range(MAX_ABSENT + 10):
                await arrived(ring, BALANCER, kid(0x1000 + number))
            assert ring.arrival(BALANCER, kid(0x1000 + 10)) is None
            assert ring.arrival(BALANCER, kid(0x1000 + 9)) is not None

    run(test)


def test_what_was_found_missing_again_is_remembered_anew(endpoint: Endpoint) -> None:
    async def test() -> None:
        ring = endpoint.ring(BALANCER, timing=Timing(key_gap=0.001))
        async with running(ring):
            for number in range(10):
                await arrived(ring, BALANCER, kid(0x1000 + number))
            await asyncio.sleep(61)
            for number in (0, *range(10, MAX_ABSENT)):
                await arrived(ring, BALANCER, kid(0x1000 + number))
            await arrived(ring, BALANCER, kid(0x1000 + MAX_ABSENT))
            assert ring.arrival(BALANCER, kid(0x1000)) is None

    run(test)


def test_keys_that_are_asked_for_and_keys_that_are_due_take_turns(endpoint: Endpoint) -> None:
    """A storm of made-up ids keeps no withdrawn key alive, and known keys keep nobody waiting."""

    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            for number in range(3):
                await arrived(ring, BALANCER, kid(number))
            await asyncio.sleep(299)
            asked = len(endpoint.asked)
            for number in range(0x2000, 0x2000 + 40):
                ring.arrival(BALANCER, kid(number))
                await asyncio.sleep(0.1)
            refreshed = [path(kid(number)) for number in range(3)]
            turns = endpoint.paths[asked:]
            assert [name for name in turns if name in refreshed] == refreshed
            first = turns.index(refreshed[0])
            assert turns[first : first + 5 : 2] == refreshed

    run(test)


def test_nothing_raises_whatever_the_endpoint_answers(endpoint: Endpoint, issuer: Any) -> None:
    bodies = [
        b"",
        b"\xff",
        b"<html>",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        issuer.jwks("ec"),
    ]
    for number, body in enumerate(bodies):
        endpoint.answers[path(kid(number))] = 200, body

    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            for number in range(len(bodies)):
                assert not await arrived(ring, BALANCER, kid(number))
            assert held(ring) == []

    run(test)


def test_nobody_waits_for_a_source_that_is_gone(endpoint: Endpoint) -> None:
    endpoint.takes = 1.0

    async def test() -> None:
        ring = endpoint.ring(BALANCER)
        async with running(ring):
            arrivals = [ring.arrival(BALANCER, kid(number)) for number in range(3)]
            await asyncio.sleep(0.5)
            ring.configure([])
            for arrival in arrivals:
                assert arrival is not None
                await asyncio.wait_for(arrival, 0)
            await asyncio.sleep(10)
            assert len(endpoint.asked) == 1

    run(test)
