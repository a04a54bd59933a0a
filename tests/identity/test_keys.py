"""Key sets of providers: when they are fetched, for how long they count, and who waits for them. In virtual time."""

import asyncio
import logging
from typing import Any

import pytest
from tests.identity.endpoint import Endpoint, Named, arrived, names, running
from tests.identity.virtual_time import clock, now, run

from headgate.identity.following import MAX_WAITING, Waiting
from headgate.identity.jwks import KeySet
from headgate.identity.keys import KeyRing, Timing
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.sources import KeySource

SSO = Named("corp-sso", KeySource(jwks="https://sso.example.com/jwks.json?key=s3cret"))
JWKS = "/jwks.json?key=s3cret"
DAY = 24 * 3600


@pytest.fixture
def endpoint(issuer: Any) -> Endpoint:
    made = Endpoint()
    made.answers[JWKS] = 200, issuer.jwks("ec")
    return made


def test_keys_are_unavailable_until_fetched(endpoint: Endpoint) -> None:
    ring = KeyRing(clock, client=endpoint.client)
    assert ring.keys(SSO) == Rejected(Reason.KEYS_UNAVAILABLE)
    ring.configure([SSO])
    assert ring.keys(SSO) == Rejected(Reason.KEYS_UNAVAILABLE)
    assert ring.missing() == ("corp-sso",)

    async def test() -> None:
        async with running(ring):
            await asyncio.sleep(1)
            assert names(ring.keys(SSO)) == ["ec"]
            assert ring.missing() == ()

    run(test)


def test_keys_from_a_file_need_no_fetching(issuer: Any) -> None:
    from_file = Named("corp-sso", KeySource(static=issuer.keys))
    ring = KeyRing(clock)
    assert ring.keys(from_file) is issuer.keys
    ring.configure([from_file])
    assert ring.keys(from_file) is issuer.keys
    assert ring.arrival(from_file, "other") is None
    assert ring.missing() == ()


def test_the_key_of_this_machine_is_not_for_fetching(endpoint: Endpoint) -> None:
    own = Named("development", KeySource())
    ring = endpoint.ring(own)
    assert ring.keys(own) == Rejected(Reason.KEYS_UNAVAILABLE)
    assert ring.arrival(own, "dev-1") is None
    assert ring.missing() == ()


def test_a_set_is_fetched_at_start_and_every_five_minutes(issuer: Any, endpoint: Endpoint) -> None:
    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            await asyncio.sleep(299)
            endpoint.answers[JWKS] = 200, issuer.jwks("rsa", "ec")
            assert names(ring.keys(SSO)) == ["ec"]
            await asyncio.sleep(2)
            assert names(ring.keys(SSO)) == ["rsa", "ec"]
            await asyncio.sleep(600)
        assert endpoint.times == [0, 300, 600, 900]

    run(test)


def test_the_same_keys_fetched_again_are_the_same_set(issuer: Any, endpoint: Endpoint) -> None:
    """What has been verified with them stays verified: nobody pays for a signature again every five minutes."""

    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            await asyncio.sleep(1)
            first = ring.keys(SSO)
            await asyncio.sleep(300)
            assert len(endpoint.asked) == 2
            assert ring.keys(SSO) is first
            endpoint.answers[JWKS] = 200, issuer.jwks("stranger").replace(b'"stranger"', b'"ec"')
            await asyncio.sleep(300)
            assert ring.keys(SSO) is not first
            assert names(ring.keys(SSO)) == ["ec"]

    run(test)


def test_a_failing_source_is_asked_less_and_less(endpoint: Endpoint) -> None:
    endpoint.answers[JWKS] = 500, b""

    async def test() -> None:
        async with running(endpoint.ring(SSO)):
            await asyncio.sleep(1200)
        assert endpoint.times == [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1111]

    run(test)


def test_after_a_success_the_pauses_begin_anew(endpoint: Endpoint) -> None:
    good, endpoint.answers[JWKS] = endpoint.answers[JWKS], (500, b"")

    async def test() -> None:
        async with running(endpoint.ring(SSO)):
            await asyncio.sleep(10)
            endpoint.answers[JWKS] = good
            await asyncio.sleep(10)
            endpoint.answers[JWKS] = 500, b""
            await asyncio.sleep(300)
        assert endpoint.times == [0, 1, 3, 7, 15, 315, 316, 318]

    run(test)


def test_pauses_do_not_grow_for_ever() -> None:
    assert [Timing().pause(failures) for failures in (0, 1, 2, 9, 10, 10**9)] == [300, 1, 2, 256, 300, 300]


def test_failures_are_told_once_and_then_ever_more_rarely(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    endpoint.answers[JWKS] = 500, b"s3cret body"

    async def test() -> None:
        async with running(endpoint.ring(SSO)):
            await asyncio.sleep(1200)
        assert len(endpoint.asked) == 12

    with caplog.at_level(logging.DEBUG, logger="headgate"):
        run(test)
    told = "keys of provider `corp-sso` could not be fetched from `sso.example.com`: status 500; accepted: 200,"
    assert [record.getMessage().startswith(told) for record in caplog.records] == [True] * 4  # the 1st, 2nd, 4th, 8th
    assert "s3cret" not in caplog.text


def test_the_last_good_keys_count_for_a_day(endpoint: Endpoint) -> None:
    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            await asyncio.sleep(1)
            good, endpoint.answers[JWKS] = endpoint.answers[JWKS], (0, b"")
            await asyncio.sleep(DAY - 2)
            assert names(ring.keys(SSO)) == ["ec"]
            await asyncio.sleep(2)
            assert names(ring.keys(SSO)) is Reason.KEYS_STALE
            assert ring.missing() == ("corp-sso",)
            endpoint.answers[JWKS] = good
            assert await arrived(ring, SSO, "ec")
            assert ring.missing() == ()

    run(test)


def test_a_set_with_a_secret_key_does_not_replace_the_last_good_one(endpoint: Endpoint) -> None:
    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            await asyncio.sleep(1)
            endpoint.answers[JWKS] = 200, b'{"keys": [{"kty": "oct", "kid": "ec", "k": "aHVzaGh1c2g"}]}'
            await asyncio.sleep(300)
            assert len(endpoint.asked) == 2
            assert names(ring.keys(SSO)) == ["ec"]

    run(test)


def test_a_reload_keeps_what_was_fetched_and_drops_what_is_gone(issuer: Any, endpoint: Endpoint) -> None:
    same = Named("corp-sso", KeySource(jwks="https://sso.example.com/jwks.json?key=s3cret"))
    moved = Named("corp-sso", KeySource(jwks="https://sso.example.com/moved.json"))
    endpoint.answers["/moved.json"] = 200, issuer.jwks("rsa")

    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            await asyncio.sleep(1)
            ring.configure([same])
            assert names(ring.keys(same)) == names(ring.keys(SSO)) == ["ec"]
            ring.configure([moved])
            assert names(ring.keys(moved)) is Reason.KEYS_UNAVAILABLE
            assert names(ring.keys(SSO)) is Reason.KEYS_UNAVAILABLE
            await asyncio.sleep(1000)
            assert names(ring.keys(moved)) == ["rsa"]
            assert endpoint.paths == [JWKS, *["/moved.json"] * 4]

    run(test)


def test_other_uses_make_another_source(endpoint: Endpoint) -> None:
    """A key that the new rules do not accept any more must not stay from the old ones."""
    narrowed = Named("corp-sso", KeySource(jwks=SSO.keys.jwks, uses=frozenset(("jwt-svid",))))

    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            await asyncio.sleep(1)
            ring.configure([narrowed])
            await asyncio.sleep(1)
            assert names(ring.keys(narrowed)) is Reason.KEYS_UNAVAILABLE
            assert len(endpoint.asked) == 2

    run(test)


def test_a_slow_source_holds_up_no_other(issuer: Any, endpoint: Endpoint) -> None:
    slow, other = Endpoint(), Named("slow", KeySource(jwks="https://slow.example/jwks.json"))
    slow.takes = 4

    async def answer(request: Any) -> Any:
        return await (slow if request.url.host == "slow.example" else endpoint).answer(request)

    slow.answers["/jwks.json"] = 200, issuer.jwks("rsa")
    both = Endpoint()
    both.answer = answer  # type: ignore[method-assign]

    async def test() -> None:
        ring = both.ring(other, SSO)
        async with running(ring):
            await asyncio.sleep(1)
            assert names(ring.keys(SSO)) == ["ec"]
            assert ring.missing() == ("slow",)
            await asyncio.sleep(4)
            assert ring.missing() == ()

    run(test)


# ------------------------------------------------------------------------------------------------ waiting for a key


def test_a_request_before_the_first_fetch_waits_for_it(endpoint: Endpoint) -> None:
    endpoint.takes = 1.5

    async def test() -> None:
        ring = endpoint.ring(SSO)
        early = asyncio.create_task(arrived(ring, SSO, "ec"))
        nameless = ring.arrival(SSO, None)
        assert nameless is not None
        async with running(ring):
            await asyncio.sleep(1)
            assert await arrived(ring, SSO, "ec")
            assert await early
            await nameless
        assert endpoint.times == [0]

    run(test)


def test_a_rotated_key_is_there_after_one_fetch(issuer: Any, endpoint: Endpoint) -> None:
    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            await asyncio.sleep(100)
            endpoint.answers[JWKS], endpoint.takes = (200, issuer.jwks("rsa", "ec")), 0.4
            waiting = [asyncio.create_task(arrived(ring, SSO, "rsa")) for _ in range(500)]
            assert all(await asyncio.gather(*waiting))
        assert endpoint.times == [0, 100]

    run(test)


def test_every_request_of_a_rotation_under_load_gets_its_key(issuer: Any, endpoint: Endpoint) -> None:
    """Requests keep coming while the key is being fetched, and while the fetch may not be repeated yet."""
    endpoint.takes = 0.3

    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            await asyncio.sleep(100)
            assert not await arrived(ring, SSO, "made-up")
            endpoint.answers[JWKS] = 200, issuer.jwks("rsa", "ec")
            waiting = []
            for _ in range(400):
                waiting.append(asyncio.create_task(arrived(ring, SSO, "rsa")))
                await asyncio.sleep(0.01)
            assert all(await asyncio.gather(*waiting))
        assert endpoint.times == [0, 100, 102]
        assert endpoint.most_at_once == 1

    run(test)


def test_an_answer_that_began_before_the_key_came_is_not_the_last_word(issuer: Any, endpoint: Endpoint) -> None:
    endpoint.takes = 1.0

    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            await asyncio.sleep(100)
            made_up = asyncio.create_task(arrived(ring, SSO, "made-up"))
            await asyncio.sleep(0.5)  # what will be answered is settled, and without the new key
            endpoint.answers[JWKS] = 200, issuer.jwks("rsa")
            assert await arrived(ring, SSO, "rsa")
            assert not await made_up
        assert endpoint.times == [0, 100, 102]

    run(test)


def test_unknown_keys_cost_one_fetch_in_two_seconds(endpoint: Endpoint) -> None:
    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            await asyncio.sleep(10)
            for number in range(95):
                for other in range(5):
                    ring.arrival(SSO, f"made-up-{number}-{other}")
                await asyncio.sleep(0.1)
        assert endpoint.times == [0, 10, 12, 14, 16, 18]
        assert endpoint.most_at_once == 1

    run(test)


def test_a_storm_of_made_up_keys_keeps_nobody_from_a_rotated_one(issuer: Any, endpoint: Endpoint) -> None:
    endpoint.takes = 0.5

    async def storm(ring: KeyRing) -> None:
        for number in range(10**6):
            ring.arrival(SSO, f"made-up-{number}")
            await asyncio.sleep(0.01)

    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            storming = asyncio.create_task(storm(ring))
            await asyncio.sleep(20.7)
            endpoint.answers[JWKS] = 200, issuer.jwks("rsa", "ec")
            assert await arrived(ring, SSO, "rsa")
            storming.cancel()
        assert len(endpoint.asked) <= 12
        assert endpoint.most_at_once == 1

    run(test)


def test_only_so_many_wait(endpoint: Endpoint) -> None:
    endpoint.takes = 1.0

    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            arrivals = [ring.arrival(SSO, f"made-up-{number}") for number in range(MAX_WAITING + 50)]
            assert [arrival is None for arrival in arrivals] == [False] * MAX_WAITING + [True] * 50
            await asyncio.sleep(2)
            assert ring.arrival(SSO, "made-up") is not None

    run(test)


def test_who_gives_up_makes_room_and_breaks_nothing(issuer: Any, endpoint: Endpoint) -> None:
    endpoint.takes = 1.0

    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            await asyncio.sleep(10)
            endpoint.answers[JWKS] = 200, issuer.jwks("rsa")
            tasks = [asyncio.create_task(arrived(ring, SSO, "rsa")) for _ in range(MAX_WAITING)]
            await asyncio.sleep(0)
            assert ring.arrival(SSO, "rsa") is None
            for task in tasks[1:]:
                task.cancel()
            await asyncio.gather(*tasks[1:], return_exceptions=True)
            assert ring.arrival(SSO, "rsa") is not None
            assert await tasks[0]
            assert names(ring.keys(SSO)) == ["rsa"]

    run(test)


def test_who_gives_up_at_the_moment_of_release_breaks_nothing() -> None:
    async def test() -> None:
        waiting = Waiting()
        waiters = [waiting.join("a"), waiting.join("a")]
        assert waiters[0] is not None
        assert waiters[1] is not None
        waiters[0].cancel()
        waiting.release(waiting.all())
        await waiters[1]
        assert waiters[0].cancelled()
        assert len(waiting) == 0

    run(test)


def test_waiting_ends_with_a_fetch_that_fails(endpoint: Endpoint) -> None:
    """Who waits learns at once that there is nothing to be had, and what was fetched before still counts."""

    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            await asyncio.sleep(10)
            endpoint.answers[JWKS] = 0, b""
            arrival = ring.arrival(SSO, "rsa")
            assert arrival is not None
            await asyncio.wait_for(arrival, 0.1)
            assert names(ring.keys(SSO)) == ["ec"]
            assert endpoint.times == [0, 10]

    run(test)


def test_an_unknown_key_does_not_wait_for_the_pause_after_failures(issuer: Any, endpoint: Endpoint) -> None:
    endpoint.answers[JWKS] = 500, b""

    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            await asyncio.sleep(600)  # in the middle of a pause of five minutes
            endpoint.answers[JWKS] = 200, issuer.jwks("ec")
            assert await arrived(ring, SSO, "ec")
            assert endpoint.times[-1] == 600

    run(test)


def test_a_token_without_a_key_id_waits_for_the_next_fetch(issuer: Any, endpoint: Endpoint) -> None:
    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            await asyncio.sleep(10)
            endpoint.answers[JWKS] = 200, issuer.jwks("rsa")
            arrival = ring.arrival(SSO, None)
            assert arrival is not None
            await asyncio.wait_for(arrival, 0.1)
            assert names(ring.keys(SSO)) == ["rsa"]

    run(test)


def test_a_token_without_a_key_id_has_what_a_fetch_under_way_brings(issuer: Any, endpoint: Endpoint) -> None:
    """If that is new; what was here before did not fit, and the next fetch may bring another."""
    endpoint.takes = 1.0

    async def ended(ring: KeyRing) -> float:
        arrival = ring.arrival(SSO, None)
        assert arrival is not None
        await arrival
        return now()

    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            await asyncio.sleep(300)
            endpoint.answers[JWKS] = 200, issuer.jwks("rsa")
            await asyncio.sleep(1.5)
            assert await ended(ring) == 302
            await asyncio.sleep(300.5)  # now the same keys are being fetched again
            assert await ended(ring) == 605
            assert endpoint.times == [0, 301, 602, 604]

    run(test)


def test_a_key_that_is_here_is_not_waited_for(endpoint: Endpoint) -> None:
    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            await asyncio.sleep(10)
            arrival = ring.arrival(SSO, "ec")
            assert arrival is not None
            await asyncio.wait_for(arrival, 0)
            await asyncio.sleep(10)
            assert endpoint.times == [0]

    run(test)


@pytest.mark.parametrize("kid", ["", "../x", "a b", "a\n", "é", "x" * 201])
def test_a_key_id_of_no_safe_form_is_not_looked_for(endpoint: Endpoint, kid: str) -> None:
    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            await asyncio.sleep(10)
            assert ring.arrival(SSO, kid) is None
            await asyncio.sleep(10)
            assert endpoint.times == [0]

    run(test)


def test_nobody_waits_for_a_source_that_is_gone(endpoint: Endpoint) -> None:
    endpoint.takes = 1.0

    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            arrival = ring.arrival(SSO, "ec")
            await asyncio.sleep(0.5)
            ring.configure([])
            assert arrival is not None
            await asyncio.wait_for(arrival, 0)
            assert ring.arrival(SSO, "ec") is None
            await asyncio.sleep(10)
            assert endpoint.at_once == 0
            assert endpoint.times == [0]

    run(test)


def test_nobody_waits_for_a_ring_that_has_stopped(endpoint: Endpoint) -> None:
    endpoint.takes = 1.0

    async def test() -> None:
        ring = endpoint.ring(SSO)
        async with running(ring):
            arrival = ring.arrival(SSO, "ec")
            await asyncio.sleep(0.5)
        assert arrival is not None
        await asyncio.wait_for(arrival, 0)

    run(test)


# ------------------------------------------------------------------------------------------------------- discovery

DISCOVERED = Named("corp-sso", KeySource(discovery="https://sso.example.com"))
WELL_KNOWN = "/.well-known/openid-configuration"


def test_a_discovered_key_set_is_discovered_anew_each_time(issuer: Any, endpoint: Endpoint) -> None:
    def document(path: str) -> bytes:
        return b'{"issuer": "https://sso.example.com", "jwks_uri": "https://keys.example.com%s"}' % path.encode()

    endpoint.answers = {
        WELL_KNOWN: (200, document("/a")),
        "/a": (200, issuer.jwks("ec")),
        "/b": (200, issuer.jwks("rsa", "ec")),
    }

    async def test() -> None:
        ring = endpoint.ring(DISCOVERED)
        async with running(ring):
            assert await arrived(ring, DISCOVERED, "ec")
            endpoint.answers[WELL_KNOWN] = 200, document("/b")
            assert await arrived(ring, DISCOVERED, "rsa")
            endpoint.answers[WELL_KNOWN] = 200, b'{"issuer": "https://other.example.com"}'
            assert not await arrived(ring, DISCOVERED, "other")
            assert names(ring.keys(DISCOVERED)) == ["rsa", "ec"]
        assert endpoint.asked == [(0, WELL_KNOWN), (0, "/a"), (2, WELL_KNOWN), (2, "/b"), (4, WELL_KNOWN)]

    run(test)


def test_a_set_knows_the_ids_of_its_keys(issuer: Any) -> None:
    keys: KeySet = issuer.key_set("ec")
    assert keys.holds("ec")
    assert not keys.holds("rsa")
