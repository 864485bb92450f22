"""API keys: a tenant issues, suspends and revokes its own, never one with more rights than the key it uses.

A key names the person who acts with it, so that two persons can be told apart where an act needs two. A tenant's key
issues keys for its own person only; the platform names the persons of parties. Its first key names those of the
platform. A key records which operator named its person: two persons that one operator named do not approve each other's
requests. Otherwise one person could act as two.

A key ends with the key that issued it. Who revokes a key may hand on what it issued (`keep_issued`), for example at the
end of a rotation; the key that asks is always handed on. What was handed on ends where a key that it descends from is
revoked by one that does not descend from that. So nobody who has a leaked key escapes by rotating it, or one above it.

No key of a party ends that of another person, and none of the platform that of another operator, unless it issued it:
otherwise a leaked key would lock the others out. The platform ends those of every person of a party.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.datastructures import State
from litestar.di import Provide
from litestar.params import FromPath, JSONBody, QueryParameter

from marketplace.api.http.bodies.answers import Page
from marketplace.api.http.bodies.parties import IssuedKey, IssueKeyBody, KeyView
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.commands import Command, Commanded, provide_unlogged_command, without_log
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.keys import DECIDE, LIFETIME_MAX, SEALED, Chain, KeyRing, Principal, get_status, name_operator
from marketplace.api.http.known_values import suggest
from marketplace.api.http.paging import Cursor, Limit, build_page
from marketplace.api.http.queries import Read
from marketplace.application.steps.access import require_platform
from marketplace.application.steps.records import record_operation
from marketplace.core.errors import Refusal, join_refusals
from marketplace.core.ids import rename_id
from marketplace.core.instants import render_instant
from marketplace.domain.party import PARTY, require_unsuspended
from marketplace.domain.refusals import refuse_unknown, require_found
from marketplace.execution.handler import refuse_reused
from marketplace.projections.engine.operations import CHAIN_MAX, ApiKey, KeyChange

PATH: Final = "/v1/api-keys"
KeepIssued = Annotated[bool, QueryParameter(description="Whether what it issued goes on, as issued by its own issuer")]
UNLOGGED: Final = {"command": Provide(provide_unlogged_command)}


def _render(chain: Chain, principal: Principal, own: Collection[str] = ()) -> KeyView:
    """Return a key as the principal sees it; `own` are keys of its party from which others descend."""
    key, *above = chain
    is_shown = bool(above) and principal.party_id in (None, above[0].party_id)
    return KeyView(
        key_id=key.key_id,
        status=get_status(chain),
        party_id=key.party_id,
        person=key.person,
        named_by=key.named_by,
        issued_by=key.issued_by if is_shown else None,
        descends_from=key.descends_from if principal.party_id is None or key.descends_from in own else None,
        name=key.name,
        scopes=key.scopes,
        created_at=key.created_at,
        expires_at=key.expires_at,
        suspended_at=next((each.suspended_at for each in chain if each.suspended_at is not None), None),
        revoked_at=next((each.revoked_at for each in chain if each.revoked_at is not None), None),
    )


def _require_scopes(
    principal: Principal, scopes: tuple[str, ...], known: tuple[str, ...], party_id: str | None
) -> None:
    """Refuse unknown scopes, and scopes that the key that asks does not have.

    A key of the platform that issues one for a party can act for the party and read what is sealed to others, and needs
    the scopes for both.

    Raises:
        Refusal: ``scope_invalid`` · ``scope_missing``.
    """
    unknown = [_refuse_scope(scope, index, known) for index, scope in enumerate(scopes) if scope not in known]
    if unknown:
        raise join_refusals(unknown)
    for scope in scopes:
        if not principal.covers(scope):
            raise Refusal(
                "scope_missing", f"this key lacks {scope} and cannot pass it on; use a key that has it", scope=scope
            )
    if principal.party_id is None and party_id is not None:
        for scope in (DECIDE, SEALED):
            if not principal.covers(scope):
                text = f"whoever issues a party's key can act as the party; use a key that has {scope}"
                raise Refusal("scope_missing", text, scope=scope)


def _refuse_scope(scope: str, index: int, known: tuple[str, ...]) -> Refusal:
    text = f"{scope!r} is not a scope{suggest(scope, known)}; `allowed` lists the scopes"
    refusal = Refusal("scope_invalid", text, pointer=f"/scopes/{index}")
    refusal.choices = known
    return refusal


def _require_weaker(principal: Principal, chain: Chain) -> None:
    """Refuse to change a key that has a scope which the key that asks does not have, or is a colleague's.

    A key changes those of its own person, and those that it issued. The keys of another person of a party are changed
    by the platform, those of another operator by its first key.

    Raises:
        Refusal: ``key_stronger`` · ``person_foreign``.
    """
    key, *above = chain
    lacking = [scope for scope in key.scopes if not principal.covers(scope)]
    if lacking:
        text = f"{key.key_id} may {', '.join(lacking)}, and this key may not; use a key with these scopes"
        raise Refusal("key_stronger", text, scopes=lacking)
    is_own = key.person == principal.person if key.party_id is not None else name_operator(key) == principal.operator
    if principal.party_id != key.party_id or is_own or principal.key_id in {each.key_id for each in above}:
        return
    if principal.party_id is not None or principal.operator is not None:
        remedy = "the platform" if principal.party_id is not None else "whoever has the platform's first key"
        text = f"{key.key_id} acts for another person than this key, which did not issue it; ask {remedy} to end it"
        raise Refusal("person_foreign", text)


def _require_person(principal: Principal, party_id: str | None, person: str | None) -> None:
    """Refuse a key of the principal's own tenant that names another person; only the platform's first key issues it.

    Raises:
        Refusal: ``person_foreign``.
    """
    is_first = principal.party_id is None and principal.operator is None
    if principal.party_id == party_id and not is_first and person not in {None, principal.person}:
        own = "no person" if principal.person is None else principal.person
        issuer = "with the first key" if principal.party_id is None else "to issue it"
        text = f"this key acts for {own} and cannot issue one for {person}; ask the platform {issuer}"
        raise Refusal("person_foreign", text, pointer="/person")


def _require_expiry(principal: Principal, key: ApiKey) -> None:
    """Refuse an expiry that has passed, is more than a year ahead, or is after that of the key that asks.

    Raises:
        Refusal: ``expiry_past`` · ``expiry_too_late``.
    """
    ends, now = key.expires_at, key.created_at
    if ends <= now:
        text = f"expires_at is {render_instant(ends)}, which has passed; leave it out or choose a later time"
        raise Refusal("expiry_past", text, pointer="/expires_at")
    _require_no_longer(principal, key)
    if ends > now + LIFETIME_MAX:
        text = (
            f"a key lasts {LIFETIME_MAX.days} days at most; give expires_at until {render_instant(now + LIFETIME_MAX)}"
        )
        raise Refusal("expiry_too_late", text, pointer="/expires_at")


def _require_no_longer(principal: Principal, key: ApiKey) -> None:
    """Refuse a key that lasts longer than the one that asks, also one that another key issued before.

    Raises:
        Refusal: ``expiry_too_late``.
    """
    own = principal.expires_at
    if own is not None and key.expires_at > own:
        text = (
            f"this key ends at {render_instant(own)} and cannot issue one that lasts longer; give expires_at until then"
        )
        raise Refusal("expiry_too_late", text, pointer="/expires_at")


def _require_same(stored: ApiKey, key: ApiKey, expires_at: datetime | None) -> None:
    """Refuse a request that differs from the one that issued the stored key."""
    ends = stored.expires_at if expires_at is None else expires_at
    if _render_issued(stored) != _render_issued(msgspec.structs.replace(key, expires_at=ends)):
        raise refuse_reused()


def _require_usable(chain: Chain) -> None:
    """Refuse to show the token of a key that no longer works.

    Raises:
        Refusal: ``key_expired`` · ``key_suspended`` · ``key_revoked``.
    """
    state = get_status(chain)
    if state != "active":
        raise Refusal(f"key_{state}", f"{chain[0].key_id} is {state}, and its token does not work; issue a new key")


async def _require_short(keys: KeyRing, issuer_id: str) -> None:
    """Refuse a key to one that stands at the end of a long chain already.

    Raises:
        Refusal: ``keys_in_a_row``.
    """
    for chain in await keys.trace([issuer_id]):
        if len(chain) >= CHAIN_MAX:
            text = f"{CHAIN_MAX} keys were issued one by the other up to this one; use one of the first of them"
            raise Refusal("keys_in_a_row", text, keys_max=CHAIN_MAX)


def _render_issued(key: ApiKey) -> tuple[object, ...]:
    return key.name, key.scopes, key.party_id, key.person, key.named_by, key.expires_at


async def _store(command: Command, key: ApiKey, expires_at: datetime | None) -> ApiKey:
    """Store a new key, and return it, or the key that the same command stored before.

    Raises:
        Refusal: ``expiry_past`` · ``expiry_too_late`` · ``keys_in_a_row`` · ``idempotency_key_reused`` ·
            ``key_revoked`` · ``key_suspended`` · ``key_expired``.
    """
    keys, store = command.services.keys, command.services.keys.store
    before = await store.find(key.key_id)
    if before is None:
        _require_expiry(command.principal, key)
        await _require_short(keys, command.principal.key_id)
    else:
        _require_same(before, key, expires_at)
        for chain in await keys.trace([before.key_id]):
            _require_usable(chain)
        _require_no_longer(command.principal, before)
    await record_operation(command.handler, command.context)
    if before is None and not await store.add(key):
        before = await store.find(key.key_id)
        assert before is not None, "keys are never deleted by this API"
        _require_same(before, key, expires_at)
    return before or key


@post("/", summary="Issue an API key")
async def issue(command: Commanded, data: JSONBody[IssueKeyBody], state: State) -> Response[IssuedKey]:
    """Issue a key with no more scopes, and no longer life, than the key that asks.

    A repeat with the same idempotency key returns the same token.

    Raises:
        Refusal: ``scope_invalid`` · ``scope_missing`` · ``person_foreign`` · ``party_unknown`` · ``party_suspended`` ·
            ``expiry_past`` · ``expiry_too_late`` · ``keys_in_a_row``; of a repeat
            ``idempotency_key_reused`` · ``key_revoked`` · ``key_suspended`` · ``key_expired``.
    """
    principal, keys = command.principal, command.services.keys
    party_id = data.party_id if data.party_id is not None else principal.party_id
    if principal.party_id not in (None, party_id):
        raise refuse_unknown("party", str(party_id))
    _require_scopes(principal, data.scopes, state.scopes, party_id)
    _require_person(principal, party_id, data.person)
    party = None if party_id is None else (await command.handler.cache.load(PARTY, party_id)).state
    if party_id is not None and party is None:
        raise refuse_unknown("party", party_id)
    if principal.party_id is not None:
        require_unsuspended(party, principal.party_id)
    key_id, now = rename_id("key", command.context.command_id), datetime.now(UTC)
    issuer_id = None if principal.key_id == keys.admin_key_id else principal.key_id
    key = keys.seal(
        ApiKey(
            key_id=key_id,
            party_id=party_id,
            name=data.name,
            scopes=data.scopes,
            hmac=b"",
            person=data.person or principal.person if party_id == principal.party_id else data.person,
            named_by=principal.operator,
            issued_by=issuer_id,
            descends_from=issuer_id,
            created_at=now,
            expires_at=data.expires_at or min(now + LIFETIME_MAX, principal.expires_at or now + LIFETIME_MAX),
        )
    )
    stored = await _store(command, key, data.expires_at)
    headers = {"Location": f"{PATH}/{key_id}"} | ({} if stored == key else {"Idempotent-Replayed": "true"})
    issued = IssuedKey(
        key_id=key_id,
        token=keys.derive_token(key_id),
        party_id=party_id,
        person=stored.person,
        scopes=data.scopes,
        expires_at=stored.expires_at,
    )
    return Response(issued, status_code=201, headers=headers)


@post("/{key_id:str}/suspend", status_code=200, dependencies=UNLOGGED, summary="Suspend an API key")
async def suspend(command: Commanded, key_id: FromPath[str], data: JSONBody[ReasonBody]) -> KeyView:
    """Suspend a key, with those that it issued, until it is resumed. Streams end within a second, in every process.

    Raises:
        Refusal: ``platform_only`` · ``key_unknown`` · ``key_stronger`` · ``key_revoked`` · ``key_tampered``.
    """
    return await _change(command, key_id, "suspended", data.reason)


@post("/{key_id:str}/resume", status_code=200, dependencies=UNLOGGED, summary="Resume a suspended API key")
async def resume(command: Commanded, key_id: FromPath[str], data: JSONBody[ReasonBody]) -> KeyView:
    """Resume a suspended key. A repeat of an earlier command changes nothing.

    Raises:
        Refusal: As `suspend`.
    """
    return await _change(command, key_id, "resumed", data.reason)


async def _change(command: Command, key_id: str, change: Literal["suspended", "resumed"], reason: str) -> KeyView:
    require_platform(command.context)
    for chain in await command.services.keys.trace([key_id]):
        _require_weaker(command.principal, chain)
    record = KeyChange(
        command_id=command.context.command_id,
        key_id=key_id,
        change=change,
        reason=reason,
        actor=command.principal.key_id,
    )
    require_found("key", key_id, await command.services.keys.suspend(record))
    await _record(command)
    (chain,) = await command.services.keys.trace([key_id])
    return _render(chain, command.principal)


async def _record(command: Command) -> None:
    """Record in the log what was already done. A key that must end does not wait for the log."""
    async with without_log("operation_not_recorded", command.context):
        await record_operation(command.handler, command.context)


@delete("/{key_id:str}", dependencies=UNLOGGED, summary="Revoke an API key")
async def revoke(command: Commanded, key_id: FromPath[str], keep_issued: KeepIssued = False) -> None:
    """Revoke a key for good, with those that it issued. They and their streams end within a second, in every process.

    The key that asks does not end with the key that it revokes, until another key revokes that again.

    Raises:
        Refusal: ``key_unknown`` · ``key_stronger`` · ``person_foreign``.
    """
    keys = command.services.keys
    chain = next(iter(await keys.trace([key_id])), None)
    if chain is None or command.principal.party_id not in (None, chain[0].party_id):
        raise refuse_unknown("key", key_id)
    _require_weaker(command.principal, chain)
    await keys.revoke(key_id, by=command.principal.key_id, keeps=keep_issued)
    await _record(command)


@get("/", summary="List API keys")
async def list_all(reader: Read, limit: Limit = 100, cursor: Cursor = None) -> Page[KeyView]:
    """Return keys by id, including revoked ones, without their secrets."""
    keys, after = reader.services.keys, parse_cursor(cursor, "")
    found = await keys.store.list(party_id=reader.party_id, after=after, limit=limit + 1)
    chains = await keys.trace(key.key_id for key in found)
    above = await keys.trace({key.descends_from for key in found if key.descends_from is not None})
    own = {key.key_id for key, *_ in above if key.party_id == reader.party_id}
    rows = [_render(chain, reader.principal, own) for chain in chains]
    return build_page(rows, limit, lambda row: row.key_id)


ROUTER: Final = Router(
    PATH, route_handlers=[issue, suspend, resume, revoke, list_all], tags=["API keys"], opt={"feature": "api_keys"}
)
