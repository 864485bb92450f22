"""``expand``: an answer carries what it refers to, so that nobody fetches twice; with the rights of its own route."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.api.http.keys import SEALED, Principal
from marketplace.api.http.queries import Reader
from marketplace.api.http.visibility import DECISION, GRANT, STATEMENT, Visibility
from marketplace.core.errors import Refusal
from marketplace.projections.billing.statements import find_latest_statements
from marketplace.projections.delivery.grants import find_grants
from marketplace.projections.trading.auctions import find_decisions

R = TypeVar("R", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Expansion:
    """One member that is expanded on request.

    Attributes:
        rule: Who sees it.
        get_key: Returns from a row the key of what is expanded; None: the row refers to nothing.
        load: Returns what there is, by key, with one query for a page.
    """

    rule: Visibility[Any]
    get_key: Callable[[Any], Any]
    load: Callable[[AsyncConnection, Collection[Any]], Awaitable[Mapping[Any, Any]]]


def _get_decided(order: Any) -> tuple[str, str] | None:
    return None if order.auction_id is None else (order.auction_id, order.order_id)


ORDERS: Final = {
    "decision": Expansion(DECISION, _get_decided, find_decisions),
    "grant": Expansion(GRANT, lambda order: order.grant_id, find_grants),
}
GRANTS: Final = {"statement": Expansion(STATEMENT, lambda grant: grant.grant_id, find_latest_statements)}


async def expand_rows(
    reader: Reader,
    connection: AsyncConnection,
    rows: Sequence[R],
    names: Iterable[str] | None,
    known: Mapping[str, Expansion],
) -> list[R]:
    """Return rows with what they refer to under these names; null where the reader may not see it.

    Raises:
        Refusal: ``scope_missing`` if the key lacks the scope of what is expanded.
    """
    expanded = list(rows)
    for name in dict.fromkeys(names or ()):
        expansion = known[name]
        _require_scope(reader.principal, expansion.rule, name)
        keys = {key for row in expanded if (key := expansion.get_key(row)) is not None}
        found = await expansion.load(connection, keys) if keys else {}
        shown = {key: expansion.rule.show(view, reader.party_id) for key, view in found.items()}
        values = [{name: shown.get(expansion.get_key(row))} for row in expanded]
        expanded = [msgspec.structs.replace(row, **value) for row, value in zip(expanded, values, strict=True)]
    return expanded


def _require_scope(principal: Principal, rule: Visibility[Any], name: str) -> None:
    scopes = [f"{rule.feature}:read", *([SEALED] if rule.sealed and principal.party_id is None else [])]
    for scope in scopes:
        if not principal.allows(scope):
            text = f"this key lacks the scope {scope}, which expand={name} needs; ask for one that has it"
            raise Refusal("scope_missing", text, scope=scope)
