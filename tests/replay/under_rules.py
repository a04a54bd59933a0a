"""Exchanges as a live chain would have decided, masked and recorded them under some rules: by the same functions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from headgate.bundle.load import Bundle, load_bundle
from headgate.capture.entries import Entry
from headgate.capture.record import Line, Message, Mode, Record
from headgate.capture.store import Store
from headgate.capture.writer import Writer
from headgate.masking.due import due
from headgate.masking.job import Job, run
from headgate.masking.plan import Detect, Plan
from headgate.masking.response import Received
from headgate.masking.scrub import Sent
from headgate.match import Subject
from headgate.model import BundleRef, Kind, MaskCount, Principal, Refusal, Request, Session, ulid, withheld
from headgate.policy.buckets import Outcome, Standing
from headgate.policy.engine import PolicyRules
from headgate.policy.judgement import judge
from headgate.replay.once import remembering

NOW = 1_800_000_000.0
PATIENCE = 20.0
KEY = b"k" * 32
JSON = (b"content-type", b"application/json")

FILES: Mapping[str, Any] = {
    "bundle": {"name": "test", "version": "1.0.0"},
    "identity": {"providers": [{"name": "dev", "preset": "development", "audiences": ["headgate-dev"]}]},
    "targets": {"targets": [{"name": "api", "hosts": ["api.internal"], "environment": "prod"}], "unknown": "refuse"},
    "policy": {"rules": [{"id": "all", "effect": "allow", "match": {"target": "api"}}]},
    "masking": {"masks": []},
}

ANA = Principal(
    "ana",
    Kind.HUMAN,
    "dev",
    frozenset({"support"}),
    environments=frozenset({"prod"}),
    session=Session("s-1", frozenset({"read"}), NOW - 60),
    claims={"team": "billing"},
)


def make_bundle(folder: Path, **changed: Any) -> Bundle:
    """Rules with whole files replaced; a list stands for the list that the file mainly is."""
    folder.mkdir(parents=True)
    for name, content in {**FILES, **changed}.items():
        key = {"policy": "rules", "masking": "masks", "targets": "targets"}.get(name, "")
        document = {key: content} if isinstance(content, list) else content
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return load_bundle(folder)


_detectors = remembering()


def detector(plan: Plan) -> Detect:
    return _detectors(plan)


@dataclass(frozen=True)
class Asked:
    """One exchange; `exhausted` are the ids of limits that had nothing left."""

    method: str = "GET"
    path: str = "/v1/customers/42"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    who: Principal | None = ANA
    answer: bytes = b"{}"
    answer_headers: tuple[tuple[bytes, bytes], ...] = (JSON,)
    status: int = 200
    mode: Mode = Mode.MASKED
    signals: frozenset[str] | None = frozenset()
    exhausted: frozenset[str] = frozenset()
    refusal: Refusal | None = None
    claims: tuple[str, ...] = ("/team",)
    cut: int | None = None  # bytes of the answer that were kept
    host: str = "api.internal"

    def record(self, bundle: Bundle, n: int = 0) -> Record:
        """What the live chain would record of it."""
        headers = (*self.headers, ("host", self.host))
        request = Request(self.method, "https", self.host, 443, self.path, self.query, headers, "10.0.0.1", self.body)
        if self.who is None or self.refusal is not None:
            return self._refused(bundle, request, n)
        target = bundle.targets.resolve("https", self.host, 443)
        subject = Subject(self.who, request, target, NOW + n, self.signals)
        said = judge(PolicyRules(bundle.targets, bundle.policy), subject, self._take)
        owed = due(bundle.masking, self.who, request, target, now=NOW + n, signals=self.signals, key=KEY)
        fields = tuple((name.encode(), value.encode()) for name, value in headers)
        sent = Sent(f"{self.path}?{self.query}".rstrip("?").encode(), fields, self.body)
        received = Received(self.method, self.status, self.answer_headers, self.answer) if not said.refusal else None
        done = run(Job(owed.caller, owed.record, sent, received), detector)
        refusal = said.refusal or (withheld(done.refused) if done.refused else None)
        response, masks = None, tuple[MaskCount, ...]()
        if refusal is None:
            shown = done.recorded or done.masked
            body = self.answer if shown is None or shown.body is None else shown.body
            kept = body if self.cut is None else body[: self.cut]
            response = Message(shown.headers if shown else self.answer_headers, kept, len(body))
            counts = done.masked.counts if done.masked else {}
            masks = tuple(MaskCount(*place, count) for place, count in sorted(counts.items()))
        return self._record(
            bundle, n, done.sent, response, masks, target=target, decision=said.decision, refusal=refusal
        )

    def _refused(self, bundle: Bundle, request: Request, n: int) -> Record:
        sent = Sent(request.path.encode(), (), b"")
        return self._record(bundle, n, sent, None, (), target=None, decision=None, refusal=self.refusal)

    def _record(
        self, bundle: Bundle, n: int, sent: Sent, response: Message | None, masks: tuple[MaskCount, ...], **more: Any
    ) -> Record:
        full = self.mode is Mode.MASKED
        return Record(
            decision_id=ulid(int((NOW + n) * 1000), n),
            flow_id=f"{n:08x}-0000-4000-8000-000000000000",
            mode=self.mode,
            started=NOW + n,
            ended=NOW + n + 0.01,
            source="10.0.0.1",
            line=Line(self.method.encode(), "https", self.host, 443, sent.path, b"HTTP/1.1"),
            principal=self.who,
            claims=self.claims,
            bundle=BundleRef(bundle.name, bundle.version, bundle.sha256),
            status=more["refusal"].status if more["refusal"] else self.status,
            request=Message(sent.headers, sent.body, len(sent.body)) if full else Message(size=len(sent.body)),
            response=response if full or response is None else Message(size=response.size),
            masks=masks,
            stage_us={},
            error=None,
            signals=self.signals,
            **more,
        )

    def _take(self, dues: Any) -> Outcome:
        standings = tuple(
            Standing(limit, 0 if limit.id in self.exhausted else 5, limit.id in self.exhausted, 1.0)
            for limit, _ in dues
        )
        return Outcome(0.0, standings)


def capture(state: Path, bundle: Bundle, asked: Iterable[Asked]) -> list[Entry]:
    """All of it recorded in the state folder, and read again."""
    return written(state, [one.record(bundle, n) for n, one in enumerate(asked)])


def written(state: Path, records: Iterable[Record]) -> list[Entry]:
    writer = Writer(state, clock=lambda: NOW, randomness=lambda size: b"k" * size)
    try:
        for record in records:
            while not writer.put(record):
                assert writer.flush(PATIENCE)
        assert writer.flush(PATIENCE)
    finally:
        writer.close(PATIENCE)
    return list(Store(state).walk())


def by(name: str, *groups: str, **more: Any) -> Principal:
    return replace(ANA, id=name, groups=frozenset(groups), **more)
