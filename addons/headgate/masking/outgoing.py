"""The request as it is sent upstream under masks with `request: true`: its query, headers and body.

Its path stays, since it says what is asked for; so do the headers by which the caller proves who he is to the upstream,
unless a mask names them. What cannot be masked is not sent.
"""

from headgate.masking.content import mask_body
from headgate.masking.headers import mask_headers, repair
from headgate.masking.plan import Detect, Plan
from headgate.masking.requesttarget import mask_target
from headgate.masking.scrub import Sent

PROOFS = frozenset({b"authorization", b"cookie", b"dpop", b"proxy-authorization", b"x-api-key"})


def mask_outgoing(plan: Plan, sent: Sent, detect: Detect) -> Sent:
    """The masked request; CannotMask when it cannot be read with certainty."""
    path = mask_target(sent.path.decode("latin-1"), plan, detect, path=False).encode("latin-1")
    named = {name.encode("latin-1") for name, _ in plan.headers}
    proofs = {at for at, (name, _) in enumerate(sent.headers) if name.lower() in PROOFS - named}
    others = tuple(header for at, header in enumerate(sent.headers) if at not in proofs)
    masked = mask_headers(others, plan, detect).fields
    headers = (*(sent.headers[at] for at in sorted(proofs)), *masked) if proofs else masked
    body = mask_body(plan, sent.headers, sent.body, detect).body
    return Sent(path, headers, sent.body) if body is None else Sent(path, repair(headers, body), body)
