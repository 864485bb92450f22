"""Identifiers: a prefix that says what it names, and a UUID in Crockford's base 32 (TypeID 0.3).

What a command creates is named by the command, so that a repeated command creates nothing new. A command is named
by who sent it and the idempotency key: where the key is a UUIDv7 its timestamp is kept, and ids sort by time;
elsewhere the id is a UUIDv8 of the hash.
"""

import hashlib
import re
from typing import Final
from uuid import UUID

import uuid_utils
from typeid import TypeID

PREFIXES: Final = {
    "party": "pty",
    "site": "sit",
    "pool": "pol",
    "lot": "lot",
    "mandate": "mnd",
    "order": "ord",
    "quote": "quo",
    "auction": "auc",
    "grant": "grt",
    "usage": "usg",
    "statement": "stm",
    "account": "acc",
    "instrument": "ins",
    "issuer": "iss",
    "pricelist": "prl",
    "clock": "clk",
}
_ID: Final = re.compile(r"[a-z]{3}_[0-7][0-9a-hjkmnp-tv-z]{25}")
_VARIANT: Final = 0x8000_0000_0000_0000
_VERSION_7: Final = 7


def is_id(text: str, prefix: str | None = None) -> bool:
    """Tell whether `text` is an id, and of that prefix where one is given."""
    return bool(_ID.fullmatch(text)) and (prefix is None or text.startswith(f"{prefix}_"))


def render_id(prefix: str, uuid: UUID) -> str:
    """Return the id of a UUID under a prefix, for example ``ord_01j…``."""
    return str(TypeID.from_uuid(suffix=uuid_utils.UUID(int=uuid.int), prefix=prefix))


def parse_uuid(id: str) -> UUID:  # noqa: A002 - the field's word
    """Return the UUID of an id.

    Raises:
        ValueError: It is not an id.
    """
    if not is_id(id):
        raise ValueError(f"{id!r} is not an id of the form abc_ and 26 characters")
    return UUID(int=TypeID.from_string(id).uuid.int)


def derive_command_id(tenant: str, key: str) -> str:
    """Return the id of the command that a tenant sent under an idempotency key."""
    digest = int.from_bytes(hashlib.sha256(f"{tenant}\n{key}".encode()).digest()[:16], "big")
    timestamp = _find_timestamp(key)
    return render_id("cmd", _build_uuid(digest, timestamp))


def derive_id(prefix: str, cause: str, salt: str = "") -> str:
    """Return the id of what `cause` (an id) creates under `prefix`; `salt` tells several apart."""
    source = parse_uuid(cause)
    digest = int.from_bytes(hashlib.sha256(f"{prefix}\n{cause}\n{salt}".encode()).digest()[:16], "big")
    return render_id(prefix, _build_uuid(digest, _read_timestamp(source)))


def rename_id(prefix: str, id: str) -> str:  # noqa: A002 - the field's word
    """Return the id with the same UUID under another prefix, for example a party's account."""
    return f"{prefix}{id[3:]}"


def _find_timestamp(key: str) -> int | None:
    try:
        uuid = UUID(key)
    except ValueError:
        return None
    return _read_timestamp(uuid)


def _read_timestamp(uuid: UUID) -> int | None:
    return uuid.int >> 80 if uuid.version == _VERSION_7 else None


def _build_uuid(digest: int, timestamp: int | None) -> UUID:
    """Return a UUIDv7 of a timestamp and 74 bits of a digest, or a UUIDv8 of 122 bits of it."""
    low = (digest & 0x3FFF_FFFF_FFFF_FFFF) | _VARIANT
    middle = (digest >> 64) & 0x0FFF
    if timestamp is None:
        return UUID(int=((digest >> 80) << 80) | (8 << 76) | (middle << 64) | low)
    return UUID(int=(timestamp << 80) | (7 << 76) | (middle << 64) | low)
