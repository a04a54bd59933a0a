"""One policy decision, with 10 to 10,000 rules of the same kinds: who asks, and for what, changes with each."""

from collections.abc import Callable

from headgate.bench.bundle import GROUPS, policy_rules
from headgate.bench.figures import Bar, Figure
from headgate.bench.timing import Sample, in_turns, ratios
from headgate.model import Kind, Principal, Request
from headgate.policy.engine import decide
from headgate.policy.rules import Origin, PolicyFile, TargetsFile, compile_policy, compile_targets

SIZES = (10, 100, 1_000, 10_000)
BATCH = 400
PORT = 8080
NOW = 1_800_000_000.0
METHODS = ("GET", "POST", "GET", "DELETE", "HEAD")


def measure(rounds: int) -> list[Figure]:
    taken = in_turns({str(size): batch(size) for size in SIZES}, rounds)
    smallest, largest = taken[str(SIZES[0])], taken[str(SIZES[-1])]
    bars = {1_000: Bar("at most", 25, "25 us")}
    each = [
        Figure(f"one decision, {size:,} rules", Sample.of(taken[str(size)]), "us", "none", bars.get(size))
        for size in SIZES
    ]
    growth = ratios(largest, smallest)
    reference = f"the same with {SIZES[0]} rules"
    return [*each, Figure(f"one decision, {SIZES[-1]:,} rules", growth, "x", reference, Bar("at most", 2, "2 x"))]


def batch(size: int) -> Callable[[], int]:
    """A batch of decisions, half of them for requests that a rule allows."""
    targets = compile_targets(TargetsFile.model_validate({"targets": [TARGET]}))
    rules = PolicyFile.model_validate({"rules": policy_rules(size)}).rules
    policy = compile_policy([Origin(rule, "policy.yaml", 1) for rule in rules], targets.known_names())
    target = targets.resolve("http", "127.0.0.1", PORT)
    asked = [_asked(at, max(1, size // 5)) for at in range(BATCH)]

    def work() -> int:
        for principal, request in asked:
            decide(policy, targets, principal, target, request, now=NOW)
        return BATCH

    return work


TARGET = {"name": "bench", "hosts": [f"127.0.0.1:{PORT}"], "environment": "bench"}


def _asked(at: int, services: int) -> tuple[Principal, Request]:
    service = at * 7919 % services
    team = service if at % 2 else service + 1  # every other caller is of the wrong team
    groups = frozenset({f"team-{team % GROUPS}", "staff", "bench"})
    kind = (Kind.HUMAN, Kind.CI, Kind.AGENT)[at % 3]
    principal = Principal(f"caller-{at}", kind, "bench", groups, environments=frozenset({"bench"}))
    path = f"/v1/service-{service}/items/{at}"
    return principal, Request(METHODS[at % 5], "http", "127.0.0.1", PORT, path, headers=(("accept", "*/*"),))
