"""API keys: who sends a request, and what it may do.

A key is ``mkp_<id>_<secret>``. The secret derives from the id under the server's own secret. A repeated request
therefore returns the same key although the key is not stored, and a forged key is refused without a query.

Each stored row has a seal: an HMAC-SHA256 under the server's secret over the secret half, the party, the person, who
named the person, the key that issued it, the scopes, the expiry and the state. A key whose row was changed by other
means is invalid; the process logs it as ``api_key_tampered``.

A key is valid while the key that issued it is, up to the platform's first key, which is never stored. So nothing else
is written where a key is suspended, resumed or revoked, and no key that is issued at the same moment is missed.

Every `CONFIRM_SECONDS`, each process confirms with PostgreSQL the keys that it used within `ACTIVE_SECONDS` and those
of open streams. Any other key is confirmed before use if its last confirmation is older than `CONFIRMED_SECONDS_MAX`. A
key that is deleted, revoked, suspended, expired or tampered with ends within a second, and so do its streams. While
PostgreSQL is unavailable, a key stays valid for `offline_seconds_max` after its last confirmation.
"""

import asyncio
import base64
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol

import msgspec
import structlog

from marketplace.core.errors import Refusal, Unavailable
from marketplace.core.instants import render_instant
from marketplace.domain.billing.account_commands import KeyHolder
from marketplace.projections.engine.operations import ApiKey, KeyChange

CONFIRM_SECONDS: Final = 0.4
CONFIRMED_SECONDS_MAX: Final = 0.9
ACTIVE_SECONDS: Final = 5.0
AT_ONCE_MAX: Final = 500
ANSWER_SECONDS_MAX: Final = 2.0
OFFLINE_SECONDS_MAX: Final = 900.0
UNKNOWN_SECONDS: Final = 0.9
UNKNOWN_MAX: Final = 10_000
KNOWN_MAX: Final = 10_000
_TOKEN: Final = re.compile(r"^mkp_(?P<id>[0-7][0-9a-hjkmnp-tv-z]{25})_(?P<secret>[A-Za-z0-9]{20,100})$")
_SEAL: Final = "marketplace.api_key.v1"
_ADMIN_SEAL: Final = "marketplace.admin_key.v1"
_CONTENT: Final = "marketplace.command.v1"
_log = structlog.get_logger(__name__)


LIFETIME_MAX: Final = timedelta(days=365)
"""How long a key lasts at most, and if no expiry is given."""
SEALED: Final = "orders:sealed"
"""The scope that shows the platform's keys other parties' offers before they are cleared."""
AGREE: Final = "proposals:agree"
"""The scope by which a party's keys agree for it, also by asking for an act that needs its agreement."""
DECIDE: Final = "rights:decide"
"""The scope by which the platform's keys decide in place of parties, whose agreement an act would need."""


def list_scopes(features: Iterable[str], own: Iterable[str] = ()) -> tuple[str, ...]:
    """Return what a key may be allowed to do.

    Args:
        features: Features of routes, each of which may be named more than once.
        own: Scopes of single routes, which ``*:read`` and ``*:write`` do not cover.
    """
    names = ("*", *dict.fromkeys(features))
    of_features = (f"{name}:{verb}" for name in names for verb in ("read", "write"))
    return ("*", *of_features, *sorted({DECIDE, SEALED, *own}))


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends a request.

    Attributes:
        key_id: The key.
        party_id: The tenant; None for the platform itself.
        scopes: What it may do.
        expires_at: When the key stops working; None for the platform's first key, from the settings.
        person: Who acts with it; None if nobody was named.
        operator: Who of the platform stands behind it; two keys with one operator do not count as two persons. For a
            key of the platform, its person. Without a person, the operator of the key that issued it, or the key itself
            if the platform's first key issued it. For a key of a party, the operator of the key that issued it. None
            for the platform's first key, and for keys of parties that come from it alone.
    """

    key_id: str
    party_id: str | None
    scopes: frozenset[str]
    expires_at: datetime | None = None
    person: str | None = None
    operator: str | None = None

    @property
    def tenant(self) -> str:
        """The name that separates tenants' idempotency keys, and that events carry as their actor."""
        return self.party_id or "platform"

    def allows(self, scope: str) -> bool:
        """Return whether the key has `scope`."""
        scopes = self.scopes
        return scope in scopes or "*" in scopes or f"*:{scope.rsplit(':', 1)[1]}" in scopes

    def covers(self, scope: str) -> bool:
        """Return whether the key may do all that `scope` allows, so that it may issue and end keys that have it."""
        return "*" in self.scopes or scope in self.scopes or (scope[0] != "*" and self.allows(scope))


class KeyStore(Protocol):
    """Where keys are stored. Every method raises `Unavailable` if the store cannot be reached."""

    async def find(self, key_id: str) -> ApiKey | None:
        """Return a key in any state; None if it does not exist."""
        ...

    async def load(self, key_ids: Sequence[str]) -> list[ApiKey]:
        """Return those of the keys that exist, and the keys that they end with, in any state."""
        ...

    async def add(self, key: ApiKey) -> bool:
        """Store a new key; False, without a change, if its id exists."""
        ...

    async def update(
        self, key_id: str, change: Callable[[ApiKey], ApiKey], record: KeyChange | None = None
    ) -> ApiKey | None:
        """Change a key under a lock, and return it; None if there is none.

        If the command of `record` is already recorded, nothing is changed.

        Raises:
            Refusal: ``idempotency_key_reused``, or what `change` raises; nothing is changed then.
        """
        ...

    async def revoke(
        self,
        key_id: str,
        revoke: Callable[[ApiKey], ApiKey],
        hand: Callable[[ApiKey, ApiKey], ApiKey],
        *,
        by: str,
        keeps: bool,
    ) -> Sequence[str]:
        """Revoke a key under a lock, unless it does not exist, and return the keys that were revoked.

        If it was revoked before, the keys are revoked that descend from it and went on. Nothing happens then if the key
        that asks is one of them, or with `keeps`.

        Args:
            key_id: The key.
            revoke: Returns it revoked.
            hand: Returns a key, handed from the revoked one to the one above.
            by: The key that asks. If it would end with the key, it is handed.
            keeps: Whether all keys are handed that the revoked one issued.
        """
        ...

    async def record(self, change: KeyChange) -> bool:
        """Record a change, whatever the key's state; False if its command was recorded before."""
        ...

    async def list(self, *, party_id: str | None, after: str, limit: int) -> list[ApiKey]:
        """Return keys by id above `after`; of one party, or of all."""
        ...


Chain = tuple[ApiKey, ...]
"""A key, the key that issued it, the one that issued that, up to one that the platform's first key issued."""


@dataclass(slots=True)
class _Known:
    """A key in memory: its chain, and when it was last confirmed and used, on the monotonic clock."""

    chain: Chain
    principal: Principal
    confirmed: float
    used: float


class KeyRing:
    """Verifies keys, and seals their rows.

    Args:
        secret: The server's own secret, at least 32 bytes.
        admin_key: The first key, of the platform with every scope, from the settings.
        store: Where the other keys are; None if only the first one is known.
        known_max: The most keys in memory.
        offline_seconds_max: How long a key stays valid without PostgreSQL.

    Attributes:
        list_streaming: Returns the keys that have open streams.
        end_streams: Ends the streams of a key.
    """

    def __init__(
        self,
        secret: bytes,
        admin_key: str,
        store: KeyStore | None,
        *,
        known_max: int = KNOWN_MAX,
        offline_seconds_max: float = OFFLINE_SECONDS_MAX,
    ) -> None:
        if len(secret) < 32:  # noqa: PLR2004 - stated above
            raise ValueError(f"the key secret has {len(secret)} bytes; give it 32 or more")
        self._secret = secret
        self._content_signer = hmac.new(self.derive_secret(_CONTENT), digestmod="sha256")
        self._known_max = known_max
        self._offline_seconds_max = offline_seconds_max
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._shown: dict[str, str] = {}
        match = _TOKEN.match(admin_key)
        if match is None:
            raise ValueError("the admin key must be mkp_<26 characters>_<20 or more letters and digits>")
        self._admin = Principal(key_id=f"key_{match['id']}", party_id=None, scopes=frozenset({"*"}))
        self._admin_seal = self._mac([_ADMIN_SEAL, self._admin.key_id, match["secret"]])
        self._store = store
        self._is_away = False
        self.list_streaming: Callable[[], Iterable[str]] = tuple
        self.end_streams: Callable[[str], None] = lambda _: None

    @property
    def store(self) -> KeyStore:
        """Where keys are kept.

        Raises:
            Unavailable: There is no store.
        """
        if self._store is None:
            raise Unavailable("PostgreSQL", "this process was started without a database")
        return self._store

    def _mac(self, parts: list[object]) -> bytes:
        """Return the HMAC of a list under the server's secret. Its first part names the purpose."""
        return hmac.digest(self._secret, msgspec.json.encode(parts), "sha256")

    def _derive_secret(self, key_id: str) -> str:
        digest = hmac.digest(self._secret, f"secret of {key_id}".encode(), "sha256")
        return base64.b32encode(digest).decode().rstrip("=")

    def derive_token(self, key_id: str) -> str:
        """Return the complete key of an id."""
        return f"mkp_{key_id.removeprefix('key_')}_{self._derive_secret(key_id)}"

    def seal(self, key: ApiKey) -> ApiKey:
        """Return a key with the seal of its party, persons, scopes, expiry and state."""
        return msgspec.structs.replace(key, hmac=self._compute_seal(key))

    def _compute_seal(self, key: ApiKey) -> bytes:
        expiry = render_instant(key.expires_at.astimezone(UTC))
        secret, scopes = self._derive_secret(key.key_id), list(key.scopes)
        persons = [key.person, key.named_by, key.issued_by, key.descends_from]
        return self._mac([_SEAL, key.key_id, secret, key.party_id, *persons, scopes, expiry, get_state(key)])

    def is_sealed(self, key: ApiKey) -> bool:
        """Return whether a row is as this code wrote it; log it if not."""
        if hmac.compare_digest(key.hmac, self._compute_seal(key)):
            return True
        remedy = "find who writes to the database, revoke the key and issue a new one"
        _log.error("api_key_tampered", key_id=key.key_id, party_id=key.party_id, scopes=key.scopes, remedy=remedy)
        return False

    async def verify(self, authorization: str | None) -> Principal:
        """Return who sends a request with this `Authorization` header.

        Raises:
            Refusal: ``credentials_missing`` or ``credentials_invalid``. It never says why a key is invalid.
            Unavailable: The key cannot be confirmed, because the store cannot be reached.
        """
        if authorization is None:
            raise Refusal("credentials_missing", "send an API key: Authorization: Bearer mkp_…")
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer":
            raise refuse_credentials()
        token = token.strip()
        return await self.admit(self._shown.get(token) or self._read_key_id(token))

    def _read_key_id(self, token: str) -> str:
        """Check the secret of a complete key, remember it, because it never changes, and return the key's id.

        Raises:
            Refusal: ``credentials_invalid``.
        """
        match = _TOKEN.match(token)
        if match is None:
            raise refuse_credentials()
        key_id, secret = f"key_{match['id']}", match["secret"]
        if key_id == self._admin.key_id:
            is_own = hmac.compare_digest(self._admin_seal, self._mac([_ADMIN_SEAL, key_id, secret]))
        else:
            is_own = hmac.compare_digest(self._derive_secret(key_id), secret)
        if not is_own:
            raise refuse_credentials()
        if len(self._shown) >= self._known_max:
            self._shown.clear()
        self._shown[token] = key_id
        return key_id

    async def admit(self, key_id: str) -> Principal:
        """Return who acts with a key whose secret was shown before, if the key is still valid.

        Raises:
            Refusal: ``credentials_invalid``.
            Unavailable: The key cannot be confirmed, because the store cannot be reached.
        """
        if key_id == self._admin.key_id:
            return self._admin
        known = await self._find(key_id)
        if known is None or get_status(known.chain) == "expired":
            raise refuse_credentials()
        return known.principal

    @property
    def admin_key_id(self) -> str:
        """The id of the first key, of the platform."""
        return self._admin.key_id

    def derive_secret(self, purpose: str) -> bytes:
        """Return a secret of the server for one purpose, which is the same in every process."""
        return self._mac([purpose])

    def sign_content(self, content: bytes) -> str:
        """Return the HMAC of a command's content, in hex, under a secret of the server."""
        signer = self._content_signer.copy()  # `hmac.digest` would look up the hash and set the secret anew
        signer.update(content)
        return signer.hexdigest()

    async def _find(self, key_id: str) -> _Known | None:
        now = time.monotonic()
        known = self._known.get(key_id)
        if known is not None:
            known.used = now
            self._known.move_to_end(key_id)
            if now - known.confirmed < CONFIRMED_SECONDS_MAX:
                return known
        if self._store is None:
            return known
        if self._unknown.get(key_id, 0.0) > now:
            return None
        if self._is_away and known is not None and self._may_go_on(known, now):
            return known
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                found = await self._store.load([key_id])
        except (Unavailable, TimeoutError) as error:
            if known is not None and self._may_go_on(known, now):
                return known
            raise Unavailable("PostgreSQL", f"the API key cannot be confirmed: {error}") from error
        return self._take(key_id, build_chain(key_id, found), now)

    def _may_go_on(self, known: _Known, now: float) -> bool:
        return now - known.confirmed < self._offline_seconds_max

    def _take(self, key_id: str, chain: Chain, now: float) -> _Known | None:
        """Store the chain of a key in memory and return it. If it is missing or no longer valid, end the key: None."""
        known = self._known.get(key_id)
        is_active = get_status(chain) == "active"
        if is_active and known is not None and chain == known.chain:
            known.confirmed = now
            return known
        if not all(self.is_sealed(each) for each in chain) or not is_active:
            self.end(key_id)
            self._unknown[key_id] = now + UNKNOWN_SECONDS
            if len(self._unknown) > UNKNOWN_MAX:
                self._unknown.popitem(last=False)
            return None
        if known is not None and _render_principal(chain[0]) != known.principal:
            self.end(key_id)
        return self.remember(chain, now)

    def remember(self, chain: Chain, now: float | None = None) -> _Known:
        """Keep an active key in memory."""
        now = time.monotonic() if now is None else now
        key_id = chain[0].key_id
        used = self._known[key_id].used if key_id in self._known else now
        known = self._known[key_id] = _Known(chain, _render_principal(chain[0]), now, used)
        self._unknown.pop(key_id, None)
        if len(self._known) > self._known_max:
            self._known.popitem(last=False)
        return known

    def end(self, key_id: str) -> None:
        """Forget a key, and end the streams that it opened."""
        self._known.pop(key_id, None)
        self.end_streams(key_id)

    def _end_issued(self, key_id: str) -> None:
        """Forget a key and those that end with it."""
        for ended, known in list(self._known.items()):
            if any(each.key_id == key_id for each in known.chain):
                self.end(ended)
        self.end(key_id)

    async def confirm(self) -> None:
        """End the keys in use that are no longer valid.

        Raises:
            Unavailable: The store does not answer. Only expired keys and those unconfirmed for too long end.
        """
        now = time.monotonic()
        streaming = set(self.list_streaming()) - {self._admin.key_id}
        for key_id, known in list(self._known.items()):
            if get_status(known.chain) == "expired" or (self._store is not None and not self._may_go_on(known, now)):
                self.end(key_id)
            elif now - known.used > self._offline_seconds_max and key_id not in streaming:
                del self._known[key_id]
        active = {key_id for key_id, known in self._known.items() if now - known.used < ACTIVE_SECONDS}
        if self._store is not None:
            for some in _split(list(active | streaming)):
                await self._confirm_some(self._store, some)

    async def _confirm_some(self, store: KeyStore, wanted: Sequence[str]) -> None:
        now = time.monotonic()
        before = {key_id: self._known.get(key_id) for key_id in wanted}
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                found = await store.load(wanted)
        except TimeoutError:
            raise Unavailable("PostgreSQL", f"it did not answer within {ANSWER_SECONDS_MAX} s") from None
        for key_id in wanted:
            if self._known.get(key_id) is before[key_id]:
                self._take(key_id, build_chain(key_id, found), now)

    async def follow(self) -> None:
        """Confirm keys for ever; run it as a task."""
        while True:
            try:
                await self.confirm()
            except Unavailable as error:
                if not self._is_away:
                    _log.warning("api_keys_unconfirmed", reason=str(error), seconds_max=self._offline_seconds_max)
                self._is_away = True
            else:
                self._is_away = False
            await asyncio.sleep(CONFIRM_SECONDS)

    async def revoke(self, key_id: str, *, by: str, keeps: bool) -> None:
        """Revoke a key for good, and with it what it issued. See `KeyStore.revoke`."""

        def revoke(key: ApiKey) -> ApiKey:
            return self.seal(msgspec.structs.replace(key, revoked_at=datetime.now(UTC)))

        def hand(key: ApiKey, revoked: ApiKey) -> ApiKey:
            is_sealed = self.is_sealed(key) and self.is_sealed(revoked)
            return self.seal(msgspec.structs.replace(key, issued_by=revoked.issued_by)) if is_sealed else key

        for ended in (key_id, *await self.store.revoke(key_id, revoke, hand, by=by, keeps=keeps)):
            self._end_issued(ended)

    async def trace(self, key_ids: Iterable[str]) -> list[Chain]:
        """Return the chains of keys, in their order; those that do not exist are left out."""
        wanted = list(key_ids)
        found = await self.store.load(wanted)
        return [chain for key_id in wanted if (chain := build_chain(key_id, found))]

    async def list_holders(self, party_id: str, scope: str) -> frozenset[KeyHolder]:
        """Return for whom the working keys of a party act that have a scope; without those that name nobody."""
        found: set[KeyHolder] = set()
        after = ""
        while page := await self.store.list(party_id=party_id, after=after, limit=AT_ONCE_MAX):
            after = page[-1].key_id
            for chain in await self.trace(key.key_id for key in page):
                key = _render_principal(chain[0])
                if key.person and key.covers(scope) and get_status(chain) == "active" and self.is_sealed(chain[0]):
                    found.add(KeyHolder(key.person, key.operator))
        return frozenset(found)

    async def suspend(self, record: KeyChange) -> ApiKey | None:
        """Suspend or resume a key, once for each command. Return the key, or None if it does not exist.

        Raises:
            Refusal: ``key_revoked``, ``key_tampered`` or ``idempotency_key_reused``.
        """

        def change(key: ApiKey) -> ApiKey:
            if key.revoked_at is not None:
                raise Refusal("key_revoked", f"{key.key_id} was revoked for good; issue a new key")
            if not self.is_sealed(key):
                raise Refusal("key_tampered", f"the row of {key.key_id} was changed by other means; revoke it")
            at = (key.suspended_at or datetime.now(UTC)) if record.change == "suspended" else None
            return self.seal(msgspec.structs.replace(key, suspended_at=at))

        changed = await self.store.update(record.key_id, change, record)
        if changed is not None and changed.suspended_at is not None:
            self._end_issued(record.key_id)
        self._unknown.clear()
        return changed

    async def use_link(self, key_id: str, link_id: str) -> bool:
        """Record that a one-time link signs in as a key. Return False if it did so before, in any process.

        Raises:
            Unavailable: The store cannot be reached.
        """
        reason = "a one-time link of the console"
        return await self.store.record(
            KeyChange(command_id=link_id, key_id=key_id, change="signed_in", reason=reason, actor=key_id)
        )


def _split(key_ids: list[str]) -> Iterator[list[str]]:
    return (key_ids[begin : begin + AT_ONCE_MAX] for begin in range(0, len(key_ids), AT_ONCE_MAX))


def _render_principal(key: ApiKey) -> Principal:
    return Principal(
        key_id=key.key_id,
        party_id=key.party_id,
        scopes=frozenset(key.scopes),
        expires_at=key.expires_at,
        person=key.person,
        operator=name_operator(key),
    )


def name_operator(key: ApiKey) -> str | None:
    """Return who of the platform stands behind a stored key; see `Principal`."""
    return key.named_by if key.party_id is not None else key.person or key.named_by or key.key_id


def build_chain(key_id: str, found: Sequence[ApiKey]) -> Chain:
    """Return a key of these and those that it ends with; empty if it is not among them."""
    keys = {key.key_id: key for key in found}
    chain: list[ApiKey] = []
    above: str | None = key_id
    while above in keys:
        chain.append(keys.pop(above))
        above = chain[-1].issued_by
    return tuple(chain)


def get_state(key: ApiKey) -> Literal["active", "suspended", "revoked"]:
    """Return the recorded state of a key. An expired key stays ``active``."""
    if key.revoked_at is not None:
        return "revoked"
    return "active" if key.suspended_at is None else "suspended"


def get_status(chain: Chain) -> Literal["active", "suspended", "revoked", "expired"]:
    """Return the state of a key: the worst of those that it ends with. What is not revoked expires with its time.

    A chain that does not lead to the platform's first key, because a row is missing, counts as revoked.
    """
    states = {get_state(key) for key in chain}
    if not chain or chain[-1].issued_by is not None or "revoked" in states:
        return "revoked"
    now = datetime.now(UTC)
    if any(key.expires_at <= now for key in chain):
        return "expired"
    return "suspended" if "suspended" in states else "active"


def refuse_credentials() -> Refusal:
    """Return the refusal of a key that is malformed, unknown, not active, expired or tampered with."""
    return Refusal("credentials_invalid", "this API key is not valid; check it or ask for a new one")
