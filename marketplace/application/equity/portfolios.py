"""Portfolios of holders, read from the projections and the log: for the API and the command line."""

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.captable.portfolio import Portfolio, build_portfolio
from marketplace.captable.positions import Delivery, HeldIssuer, Prices, Source, list_positions
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.money import require_price
from marketplace.domain.billing.settlement import subtract_credit
from marketplace.domain.refusals import refuse_unknown
from marketplace.domain.register import REGISTER, REGISTER_ID
from marketplace.execution.history import Histories, load_history
from marketplace.projections.access.parties import find_parties, find_party
from marketplace.projections.billing.statements import list_statements
from marketplace.projections.delivery.grants import find_grants
from marketplace.projections.engine.queries import Window
from marketplace.projections.equity.cap_tables import list_issuers
from marketplace.projections.equity.instruments import list_instruments

ISSUERS_MAX: Final = 500
_PAGE: Final = 1_000
_PAGES_MAX: Final = 100
_AT_ONCE: Final = 8
"""How many issuers' histories are read from the log at once."""


async def load_portfolio(
    connection: AsyncConnection, histories: Histories, party_id: str, *, at: datetime, prices: Prices
) -> Portfolio:
    """Return a holder's portfolio as of an instant.

    Args:
        connection: The projections, which say of which issuers it has equity.
        histories: Reads the histories of these issuers.
        party_id: The holder.
        at: The instant.
        prices: Prices per GPU-hour, to value delivery.

    Raises:
        Refusal: ``party_unknown`` · ``portfolio_too_large`` above `ISSUERS_MAX` issuers.
    """
    if await find_party(connection, party_id) is None:
        raise refuse_unknown("party", party_id)
    held, grant_ids = await _load_held(connection, histories, party_id, at)
    deliveries: dict[str, Delivery] = {}
    sources: dict[str, Source] = {}
    named = sorted(grant_ids)
    for first in range(0, len(named), _PAGE):
        batch = named[first : first + _PAGE]
        found = await find_grants(connection, batch)
        sources |= {grant_id: Source(grant.gpu_class, grant.provider_id) for grant_id, grant in found.items()}
        deliveries |= await _load_deliveries(connection, batch)
    return build_portfolio(party_id, at, list_positions(party_id, held, deliveries, sources, prices))


async def _load_held(
    connection: AsyncConnection, histories: Histories, party_id: str, at: datetime
) -> tuple[list[HeldIssuer], set[str]]:
    """Return the issuers whose equity a party has or had, and the ids of the grants that draw its instruments.

    Raises:
        Refusal: ``portfolio_too_large`` · ``history_too_long`` of an issuer.
        Unavailable: The log cannot be read.
    """
    issuer_ids: set[str] = set()
    grants: set[str] = set()
    stated: list[Any] = [act.event for act in await histories.load("register", REGISTER_ID)]
    register = REGISTER.fold(stated)
    after = ""
    for _ in range(_PAGES_MAX):
        page = await list_instruments(connection, holder_id=party_id, window=Window(after=after, limit=_PAGE))
        issuer_ids |= {each.issuer_id for each in page}
        grants |= {each.grant_id for each in page if each.grant_id is not None}
        if len(page) < _PAGE:
            break
        after = page[-1].instrument_id
    issuer_ids |= {each.issuer_id for each in await list_issuers(connection, holder_id=party_id, limit=_PAGE)}
    if len(issuer_ids) > ISSUERS_MAX:
        raise Refusal(
            "portfolio_too_large",
            f"{party_id} has equity of {len(issuer_ids)} issuers; at most {ISSUERS_MAX} can be read at once, so read"
            " its instruments and cap tables one by one",
        )
    held, named = [], sorted(issuer_ids)
    companies = await find_parties(connection, [rename_id("pty", each) for each in named])
    for first in range(0, len(named), _AT_ONCE):
        batch = named[first : first + _AT_ONCE]
        for loaded in await asyncio.gather(*(load_history(histories, each) for each in batch)):
            company_id = rename_id("pty", loaded.issuer_id)
            company = companies.get(company_id)
            related = register.list_group(company_id) | register.list_group(party_id)
            held.append(HeldIssuer(loaded.until(at), None if company is None else company.sector, related))
    return held, grants


async def _load_deliveries(connection: AsyncConnection, grant_ids: Collection[str]) -> dict[str, Delivery]:
    deliveries: dict[str, Delivery] = {}
    after: str | None = ""
    while after is not None:
        page = await list_statements(connection, grant_id=grant_ids, window=Window(after=after, limit=_PAGE))
        for each in page:
            charges = subtract_credit(each.charges, each.service_credit)
            deliveries[each.statement_id] = Delivery(charges.holder_usd, charges.gpu_seconds, charges.principal_usd)
        after = page[-1].statement_id if len(page) == _PAGE else None
    return deliveries


def parse_prices(text: str | None, pointer: str) -> Mapping[str, Decimal]:
    """Return the USD per GPU-hour by class in a text such as ``H100_SXM:2.99,A100:1.10``; empty without a text.

    Raises:
        Refusal: ``request_invalid`` if a part is not a class and a price, or repeats a class; those of a price.
    """
    prices: dict[str, Decimal] = {}
    for part in text.split(",") if text else ():
        gpu_class, _, price = part.strip().partition(":")
        try:
            value = Decimal(price) if gpu_class else None
        except InvalidOperation:
            value = None
        if value is None:
            raise Refusal(
                "request_invalid", f"{part!r} is not a class and its price, such as H100_SXM:2.99", pointer=pointer
            )
        if gpu_class in prices:
            raise Refusal("request_invalid", f"class {gpu_class} is stated twice; state one price", pointer=pointer)
        require_price(value, pointer)
        prices[gpu_class] = value
    return prices
