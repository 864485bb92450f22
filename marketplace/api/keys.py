"""API keys: who sends a request, and what it may do.

A key is ``mkp_<id>_<secret>``. Only the HMAC-SHA256 of the secret under the server's own secret is stored. Known keys
are kept in memory, so that commands work while PostgreSQL is away; what other processes issue or revoke is learnt
within `REFRESH_SECONDS`. A secret derives from the command that issued it, so that a repeated request answers the same
key though the key is stored nowhere.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import re
import time
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import msgspec

from marketplace.core.errors import Refusal, Unavailable
from marketplace.projections.operations import ApiKey

FEATURES: Final = (
    "parties", "api_keys", "sites", "pools", "lots", "mandates", "orders", "quotes", "auctions", "grants",
    "usage", "statements", "instruments", "issuers", "accounts", "market", "events", "clock",
)  # fmt: skip
VERBS: Final = ("read", "write")
SCOPES: Final = ("*", "*:read", "*:write", *(f"{feature}:{verb}" for feature in FEATURES for verb in VERBS))
REFRESH_SECONDS: Final = 2.0
UNKNOWN_SECONDS: Final = 2.0
UNKNOWN_MAX: Final = 10_000
CLOCKS_APART_MAX: Final = timedelta(minutes=5)
_TOKEN: Final = re.compile(r"^mkp_(?P<id>[0-7][0-9a-hjkmnp-tv-z]{25})_(?P<secret>[A-Za-z0-9]{20,100})$")
_NOBODY: Final = hashlib.sha256(b"nobody").digest()


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends a request.

    Attributes:
        key_id: The key.
        party_id: The tenant; None for the platform itself.
        scopes: What it may do.
    """

    key_id: str
    party_id: str | None
    scopes: frozenset[str]

    @property
    def tenant(self) -> str:
        """The name under which idempotency keys are told apart, and that events carry as their actor."""
        return self.party_id or "platform"

    def allows(self, scope: str) -> bool:
        """Tell whether the key may do what needs `scope`."""
        scopes = self.scopes
        return scope in scopes or "*" in scopes or f"*:{scope.rsplit(':', 1)[1]}" in scopes


class KeyStore(Protocol):
    """Where keys are kept; every method raises `Unavailable` where the store is away."""

    async def find(self, key_id: str) -> ApiKey | None:
        """Return a key, revoked or not."""
        ...

    async def load_changes(self, since: datetime | None, limit: int) -> list[ApiKey]:
        """Return keys that were issued or revoked since an instant, the newest first; all where it is None."""
        ...

    async def add(self, key: ApiKey) -> bool:
        """Keep a new key; return False where its id is taken, and change nothing."""
        ...

    async def revoke(self, key_id: str) -> None:
        """Take a key back; nothing happens where it was taken back before."""
        ...

    async def list(self, *, party_id: str | None, after: str, limit: int) -> list[ApiKey]:
        """Return keys by id above `after`; of one party, or of all."""
        ...


class KeyRing:
    """Verifies keys, and issues and revokes them.

    Args:
        secret: The server's own secret, at least 32 bytes.
        admin_key: The first key, of the platform with every scope, from the settings.
        store: Where the others are; None where only the first one is known.
        keys_max: How many are kept in memory.
    """

    def __init__(self, secret: bytes, admin_key: str, store: KeyStore | None, keys_max: int = 100_000) -> None:
        if len(secret) < 32:  # noqa: PLR2004 - stated above
            raise ValueError(f"the key secret has {len(secret)} bytes; give it 32 or more")
        self._secret = secret
        self._keys_max = keys_max
        self._known: OrderedDict[str, tuple[bytes, Principal]] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        match = _TOKEN.match(admin_key)
        if match is None:
            raise ValueError("the admin key is not of the form mkp_<26 characters>_<20 or more letters and digits>")
        admin = Principal(key_id=f"key_{match['id']}", party_id=None, scopes=frozenset({"*"}))
        self._admin = (admin.key_id, self.hash_secret(match["secret"]), admin)
        self._store = store
        self._asked_at: datetime | None = None

    @property
    def store(self) -> KeyStore:
        """Where keys are kept.

        Raises:
            Unavailable: There is no store.
        """
        if self._store is None:
            raise Unavailable("PostgreSQL", "this process was started without a database")
        return self._store

    def hash_secret(self, secret: str) -> bytes:
        """Return what is stored of a secret."""
        return hmac.new(self._secret, secret.encode(), hashlib.sha256).digest()

    def derive_token(self, key_id: str) -> tuple[str, bytes]:
        """Return the whole key of an id, and what is stored of it."""
        digest = hmac.new(self._secret, f"secret of {key_id}".encode(), hashlib.sha256).digest()
        secret = base64.b32encode(digest).decode().rstrip("=")
        return f"mkp_{key_id.removeprefix('key_')}_{secret}", self.hash_secret(secret)

    async def verify(self, authorization: str | None) -> Principal:
        """Return who sends a request with this `Authorization` header.

        Raises:
            Refusal: ``credentials_missing`` or ``credentials_invalid``; it never says what was wrong.
            Unavailable: The key is not in memory and the store is away.
        """
        if authorization is None:
            raise Refusal("credentials_missing", "send an API key: Authorization: Bearer mkp_…")
        kind, _, token = authorization.partition(" ")
        match = _TOKEN.match(token.strip())
        if kind.lower() != "bearer" or match is None:
            raise refuse_credentials()
        key_id = f"key_{match['id']}"
        stored, principal = await self._find(key_id)
        if not hmac.compare_digest(stored, self.hash_secret(match["secret"])) or principal is None:
            raise refuse_credentials()
        return principal

    async def _find(self, key_id: str) -> tuple[bytes, Principal | None]:
        if key_id == self._admin[0]:
            return self._admin[1:]
        if (known := self._known.get(key_id)) is not None:
            return known
        if self._store is None or self._unknown.get(key_id, 0.0) > time.monotonic():
            return _NOBODY, None
        record = await self._store.find(key_id)
        if record is None or record.revoked_at is not None:
            self._unknown[key_id] = time.monotonic() + UNKNOWN_SECONDS
            if len(self._unknown) > UNKNOWN_MAX:
                self._unknown.popitem(last=False)
            return _NOBODY, None
        return self.remember(record)

    def remember(self, record: ApiKey) -> tuple[bytes, Principal]:
        """Keep a key in memory."""
        principal = Principal(key_id=record.key_id, party_id=record.party_id, scopes=frozenset(record.scopes))
        self._unknown.pop(record.key_id, None)
        known = self._known[record.key_id] = (record.hmac, principal)
        if len(self._known) > self._keys_max:
            self._known.popitem(last=False)
        return known

    def forget(self, key_id: str) -> None:
        """Drop a key that was revoked."""
        self._known.pop(key_id, None)

    async def refresh(self) -> None:
        """Learn what other processes issued and revoked.

        Raises:
            Unavailable: The store is away; what is known stays known.
        """
        if self._store is None:
            return
        asked_at = datetime.now(UTC)
        for record in reversed(await self._store.load_changes(self._asked_at, self._keys_max)):
            if record.revoked_at is None:
                self.remember(record)
            else:
                self.forget(record.key_id)
        self._asked_at = asked_at - CLOCKS_APART_MAX

    async def follow(self) -> None:
        """Refresh for ever; run it as a task."""
        while True:
            with contextlib.suppress(Unavailable):
                await self.refresh()
            await asyncio.sleep(REFRESH_SECONDS)


def refuse_credentials() -> Refusal:
    """Return the refusal of a key that is not known, or not with this secret."""
    return Refusal("credentials_invalid", "this API key is not valid; check it or ask for a new one")
