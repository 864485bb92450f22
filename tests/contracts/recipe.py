"""The hash chain as `events/README.md` describes it, in the standard library alone."""

import hashlib
import json
from collections.abc import Mapping


def chain_hash(subject: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return the hash that an event must carry, from what a subscriber receives."""
    written = sorted(
        [name, value]
        for name, value in headers.items()
        if name in {"content-type", "traceparent"} or (name.startswith("ce-") and name != "ce-hash")
    )
    line = json.dumps([subject, written], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(line.encode() + b"\n" + body).hexdigest()
