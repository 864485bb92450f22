"""API keys: a tenant issues and revokes its own, never with more than its own key may do."""

from datetime import datetime
from typing import Final

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.params import FromPath, JSONBody

from marketplace.api.bodies.parties import IssueKeyBody
from marketplace.api.commands import Commanded
from marketplace.api.keys import SCOPES, Principal
from marketplace.api.paging import Cursor, Limit, Page, build_page, parse_cursor
from marketplace.api.reading import Read
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.domain.party import PARTY
from marketplace.domain.refusals import refuse_unknown
from marketplace.projections.operations import ApiKey

PATH: Final = "/v1/api-keys"


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret."""

    key_id: str
    party_id: str | None
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


class IssuedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new key.

    Attributes:
        key_id: Its id.
        token: What to send as the bearer; it is stored nowhere, keep it.
        party_id: Whom it speaks for; None for the platform.
        scopes: What it may do.
    """

    key_id: str
    token: str
    party_id: str | None
    scopes: tuple[str, ...]


def _render(key: ApiKey) -> KeyView:
    return KeyView(
        key_id=key.key_id,
        party_id=key.party_id,
        name=key.name,
        scopes=key.scopes,
        created_at=key.created_at,
        revoked_at=key.revoked_at,
    )


def _require_scopes(principal: Principal, scopes: tuple[str, ...]) -> None:
    for index, scope in enumerate(scopes):
        if scope not in SCOPES:
            known = ", ".join(SCOPES)
            raise Refusal("scope_invalid", f"{scope!r} is no scope; use {known}", pointer=f"/scopes/{index}")
        covered = "*" in principal.scopes or scope in principal.scopes or (scope[0] != "*" and principal.allows(scope))
        if not covered:
            raise Refusal("scope_missing", f"this key lacks {scope} and cannot give it away", scope=scope)


@post("/", summary="Issue an API key")
async def issue(command: Commanded, data: JSONBody[IssueKeyBody]) -> Response[IssuedKey]:
    """Issue a key; a repeat with the same idempotency key answers the same token."""
    principal, keys = command.principal, command.services.keys
    party_id = data.party_id if data.party_id is not None else principal.party_id
    if principal.party_id not in (None, party_id):
        raise refuse_unknown("party", str(party_id))
    _require_scopes(principal, data.scopes)
    if party_id is not None and (await command.handler.cache.load(PARTY, party_id)).state is None:
        raise refuse_unknown("party", party_id)
    key_id = rename_id("key", command.context.command_id)
    token, hmac = keys.derive_token(key_id)
    key = ApiKey(
        key_id=key_id,
        party_id=party_id,
        name=data.name,
        scopes=data.scopes,
        hmac=hmac,
        created_at=command.context.at,
        revoked_at=None,
    )
    headers = {"Location": f"{PATH}/{key_id}"}
    if await keys.store.add(key):
        keys.remember(key)
    else:
        stored = await keys.store.find(key_id)
        if stored is None or (stored.name, stored.scopes, stored.party_id) != (key.name, key.scopes, key.party_id):
            raise Refusal("idempotency_key_reused", "this idempotency key was used for another request; use a new key")
        headers["Idempotent-Replayed"] = "true"
    return Response(
        IssuedKey(key_id=key_id, token=token, party_id=party_id, scopes=data.scopes), status_code=201, headers=headers
    )


@delete("/{key_id:str}", summary="Revoke an API key")
async def revoke(command: Commanded, key_id: FromPath[str]) -> None:
    """Take a key back for good; other processes of the API follow within seconds."""
    keys = command.services.keys
    key = await keys.store.find(key_id)
    if key is None or command.principal.party_id not in (None, key.party_id):
        raise refuse_unknown("key", key_id)
    await keys.store.revoke(key_id)
    keys.forget(key_id)


@get("/", summary="List API keys")
async def list_all(reading: Read, limit: Limit = 100, cursor: Cursor = None) -> Page[KeyView]:
    """Return keys by id, revoked ones included, without their secrets."""
    store, after = reading.services.keys.store, parse_cursor(cursor, "")
    rows = [_render(key) for key in await store.list(party_id=reading.party_id, after=after, limit=limit + 1)]
    return build_page(rows, limit, lambda row: row.key_id)


ROUTER: Final = Router(PATH, route_handlers=[issue, revoke, list_all], tags=["API keys"])
