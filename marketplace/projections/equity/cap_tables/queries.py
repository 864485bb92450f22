"""Queries of the cap tables: who owns what of an issuer, now and as of any sequence or instant."""

from collections.abc import Collection
from datetime import date
from typing import Any, Final

from sqlalchemy import BigInteger, Text, cast, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH
from sqlalchemy.ext.asyncio import AsyncConnection

from events.issuer_holders import Depth
from marketplace.domain.equity.information import choose_depth
from marketplace.domain.equity.issuer.state import ROW_KINDS
from marketplace.projections.engine.queries import At, as_decimal, find_one, load_all, narrow, page, parse_row, until
from marketplace.projections.equity.cap_tables.options import show_option
from marketplace.projections.equity.cap_tables.tables import (
    financings,
    holdings,
    imports,
    issuers,
    liquidity_events,
    offers,
    options,
    price_observations,
    price_sources,
    pro_rata_answers,
    programmes,
    share_entries,
    stakeholders,
    stock_classes,
    valuations,
    warrants,
)
from marketplace.projections.equity.instruments import holds_principal
from marketplace.projections.views.equity import (
    CapTableRow,
    CapTableView,
    FinancingView,
    IssuerView,
    LiquidityView,
    OfferView,
    OptionView,
    PriceObservationView,
    PriceSourceView,
    ProgrammeView,
    StakeholderView,
    StockClassView,
    ValuationView,
    WarrantView,
)

_ATTESTERS: Final = "$.tranches.**.attester_id ? (@ == $party_id)"
"""Where the terms of a warrant name a party as who attests a milestone."""
_CLASS_PRICES: Final = ("price_per_share_usd", "conversion_price_usd")


def _issuers() -> Any:
    columns = (issuers, imports.c.source, imports.c.package_hash)
    return select(*columns).select_from(issuers.outerjoin(imports, imports.c.issuer_id == issuers.c.issuer_id))


async def find_issuer(connection: AsyncConnection, issuer_id: str) -> IssuerView | None:
    """Return an issuer, or None."""
    return await find_one(connection, _issuers().where(issuers.c.issuer_id == issuer_id), IssuerView)


async def find_depth(connection: AsyncConnection, issuer: IssuerView, holder_id: str) -> Depth | None:
    """Return how deep a holder sees into an issuer, by what it holds now; None if it holds nothing."""
    held = await find_held_stock(connection, issuer.issuer_id, holder_id)
    if held is None:
        return None
    return choose_depth(issuer.holder_terms, held, is_bound=await is_bound(connection, issuer.issuer_id, holder_id))


async def is_bound(connection: AsyncConnection, issuer_id: str, holder_id: str) -> bool:
    """Return whether a holder held something when the holder terms were agreed, so that they bind it."""
    bound = await connection.scalar(select(issuers.c.bound).where(issuers.c.issuer_id == issuer_id))
    return holder_id in (bound or ())


async def is_director(connection: AsyncConnection, issuer_id: str, party_id: str) -> bool:
    """Return whether the holder terms in force name a party as a director."""
    named = issuers.c.holder_terms["directors"].contains([party_id])
    query = select(issuers.c.issuer_id).where(issuers.c.issuer_id == issuer_id, named)
    return (await connection.execute(query)).first() is not None


async def find_held_stock(connection: AsyncConnection, issuer_id: str, holder_id: str) -> tuple[str, ...] | None:
    """Return the stock that a holder has now; None if it holds nothing of the issuer, also no principal."""
    held = select(holdings.c.kind, holdings.c.security).where(
        holdings.c.issuer_id == issuer_id, holdings.c.holder_id == holder_id, holdings.c.shares != 0
    )
    rows = (await connection.execute(held)).all()
    if not rows and not await holds_principal(connection, issuer_id, holder_id):
        return None
    return tuple(row.security for row in rows if row.kind == "stock")


async def holds_rights(connection: AsyncConnection, issuer_id: str, holder_id: str) -> bool:
    """Return whether a holder has options or warrants of an issuer now."""
    query = select(holdings.c.kind).where(
        holdings.c.issuer_id == issuer_id, holdings.c.holder_id == holder_id, holdings.c.shares != 0
    )
    return not {"option", "warrant"}.isdisjoint((await connection.execute(query)).scalars())


async def list_issuers(
    connection: AsyncConnection,
    *,
    party_id: str | None = None,
    holder_id: str | None = None,
    after: str = "",
    limit: int = 100,
) -> list[IssuerView]:
    """Return issuers by id above `after`: of one startup, with one stakeholder, or all."""
    query = _issuers().where(issuers.c.issuer_id > after).order_by(issuers.c.issuer_id)
    if party_id is not None:
        query = query.where(issuers.c.party_id == party_id)
    if holder_id is not None:
        held = select(stakeholders.c.issuer_id).where(stakeholders.c.holder_id == holder_id)
        query = query.where(issuers.c.issuer_id.in_(held))
    return await load_all(connection, page(query, limit), IssuerView)


async def load_cap_table(
    connection: AsyncConnection, issuer_id: str, *, at: At = None, known: int | None = None
) -> CapTableView:
    """Return the cap table, now or as of `at`. An issuer that does not exist by then has no rows.

    Events recorded after the sequence `known` are left out, even if they happened before `at`.

    Rows are ordered as stock, options, warrants, promises, pool, largest first.
    """
    key = tuple(share_entries.c[name] for name in ("kind", "holder_id", "security", "class_id"))
    total = cast(func.sum(share_entries.c.shares), BigInteger)
    sums = (
        select(*key, total.label("shares"), func.max(share_entries.c.sequence).label("last_sequence"))
        .where(share_entries.c.issuer_id == issuer_id)
        .where(until(at, share_entries.c.sequence, share_entries.c.occurred_at))
        .where(until(known, share_entries.c.sequence, share_entries.c.occurred_at))
        .group_by(*key)
    ).subquery()
    named = (stakeholders.c.issuer_id == issuer_id) & (stakeholders.c.holder_id == sums.c.holder_id)
    query = select(sums, stakeholders.c.name).select_from(sums.outerjoin(stakeholders, named))
    everything = await load_all(connection, query, CapTableRow)
    rows = sorted(
        (row for row in everything if row.shares),
        key=lambda row: (ROW_KINDS.index(row.kind), -row.shares, row.holder_id, row.security),
    )
    return CapTableView(
        issuer_id=issuer_id,
        rows=tuple(rows),
        outstanding_shares=sum(row.shares for row in rows if row.kind == "stock"),
        fully_diluted_shares=sum(row.shares for row in rows),
        last_sequence=max((row.last_sequence for row in everything), default=0),
    )


async def list_holdings(
    connection: AsyncConnection,
    holder_id: str,
    *,
    after: tuple[str, str, str] = ("", "", ""),
    limit: int = 100,
) -> list[tuple[str, CapTableRow]]:
    """Return a holder's rows with shares, each with its issuer's id, above a cursor of issuer, kind and security."""
    key = (holdings.c.issuer_id, holdings.c.kind, holdings.c.security)
    named = (stakeholders.c.issuer_id == holdings.c.issuer_id) & (stakeholders.c.holder_id == holdings.c.holder_id)
    query = (
        select(holdings, stakeholders.c.name)
        .select_from(holdings.outerjoin(stakeholders, named))
        .where(holdings.c.holder_id == holder_id, holdings.c.shares != 0, tuple_(*key) > tuple_(*after))
        .order_by(*key)
    )
    result = await connection.execute(page(query, limit))
    return [(row["issuer_id"], parse_row(row, CapTableRow)) for row in result.mappings()]


async def load_options(
    connection: AsyncConnection, holder_id: str, option_ids: Collection[str], *, on_day: date
) -> dict[str, OptionView]:
    """Return options of a holder by id, as they are on a day."""
    query = select(options).where(options.c.holder_id == holder_id, options.c.option_id.in_(option_ids))
    rows = (await connection.execute(query)).mappings()
    return {row["option_id"]: show_option({str(name): value for name, value in row.items()}, on_day) for row in rows}


async def list_stakeholders(
    connection: AsyncConnection, issuer_id: str, *, after: str = "", limit: int = 100
) -> list[StakeholderView]:
    """Return the stakeholders of an issuer by holder id above `after`."""
    query = select(stakeholders).where(stakeholders.c.issuer_id == issuer_id, stakeholders.c.holder_id > after)
    return await load_all(connection, page(query.order_by(stakeholders.c.holder_id), limit), StakeholderView)


async def list_stock_classes(connection: AsyncConnection, issuer_id: str) -> list[StockClassView]:
    """Return the classes of an issuer's stock by name, with their outstanding shares."""
    outstanding = (
        select(cast(func.coalesce(func.sum(holdings.c.shares), 0), BigInteger))
        .where(
            holdings.c.issuer_id == stock_classes.c.issuer_id,
            holdings.c.kind == "stock",
            holdings.c.security == stock_classes.c.class_id,
        )
        .scalar_subquery()
    )
    prices = (as_decimal(stock_classes.c[name]).label(name) for name in _CLASS_PRICES)
    others = (column for column in stock_classes.c if column.name not in _CLASS_PRICES)
    preference = as_decimal(stock_classes.c.price_per_share_usd) * stock_classes.c.liquidation_multiple
    shown = func.coalesce(func.trim_scale(preference), 0).label("preference_usd")
    query = select(*others, *prices, outstanding.label("shares_outstanding"), shown)
    query = query.where(stock_classes.c.issuer_id == issuer_id).order_by(stock_classes.c.class_id)
    return await load_all(connection, page(query, 1_000), StockClassView)


async def list_offers(
    connection: AsyncConnection, issuer_id: str, *, party_id: str | None = None, after: str = "", limit: int = 100
) -> list[OfferView]:
    """Return the offers of an issuer's stock by transfer id above `after`; with `party_id`, those to or by it."""
    query = select(offers).where(offers.c.issuer_id == issuer_id, offers.c.transfer_id > after)
    if party_id is not None:
        query = query.where(or_(offers.c.holder_id == party_id, offers.c.holder_id_after == party_id))
    return await load_all(connection, page(query.order_by(offers.c.transfer_id), limit), OfferView)


def _financings() -> Any:
    answers = pro_rata_answers
    amounts = func.jsonb_object_agg(answers.c.holder_id, cast(answers.c.amount_usd, Text))
    none = func.jsonb_build_object()
    taken = select(func.coalesce(amounts, none, type_=JSONB))
    taken = taken.where(answers.c.financing_id == financings.c.financing_id)
    return select(financings, taken.scalar_subquery().label("pro_rata_taken"))


async def find_financing(connection: AsyncConnection, financing_id: str) -> FinancingView | None:
    """Return a financing, or None."""
    return await find_one(connection, _financings().where(financings.c.financing_id == financing_id), FinancingView)


async def list_financings(
    connection: AsyncConnection, issuer_id: str, *, after: str = "", limit: int = 100
) -> list[FinancingView]:
    """Return the financings of an issuer by id above `after`."""
    query = _financings().where(financings.c.issuer_id == issuer_id, financings.c.financing_id > after)
    return await load_all(connection, page(query.order_by(financings.c.financing_id), limit), FinancingView)


async def list_liquidity_events(
    connection: AsyncConnection, issuer_id: str, *, after: str = "", limit: int = 100
) -> list[LiquidityView]:
    """Return the liquidity events of an issuer by id above `after`."""
    table = liquidity_events
    query = select(table).where(table.c.issuer_id == issuer_id, table.c.liquidity_id > after)
    return await load_all(connection, page(query.order_by(table.c.liquidity_id), limit), LiquidityView)


async def find_liquidity_event(connection: AsyncConnection, liquidity_id: str) -> LiquidityView | None:
    """Return a liquidity event, or None."""
    query = select(liquidity_events).where(liquidity_events.c.liquidity_id == liquidity_id)
    return await find_one(connection, query, LiquidityView)


async def list_valuations(
    connection: AsyncConnection, issuer_id: str, *, after: int = 0, limit: int = 100
) -> list[ValuationView]:
    """Return the valuations of an issuer by the sequence that recorded them, above `after`."""
    query = select(valuations).where(valuations.c.issuer_id == issuer_id, valuations.c.recorded_sequence > after)
    return await load_all(connection, page(query.order_by(valuations.c.recorded_sequence), limit), ValuationView)


def _warrants() -> Any:
    price = warrants.c.exercise_price_usd
    return select(*(column for column in warrants.c if column is not price), as_decimal(price).label(price.name))


async def list_warrants(
    connection: AsyncConnection, issuer_id: str, *, party_id: str | None = None, after: str = "", limit: int = 100
) -> list[WarrantView]:
    """Return the warrants of an issuer by id above `after`; with `party_id`, only those that it holds or attests."""
    query = _warrants().where(warrants.c.issuer_id == issuer_id, warrants.c.warrant_id > after)
    if party_id is not None:
        attests = func.jsonb_path_exists(
            cast(warrants.c.terms, JSONB),
            cast(_ATTESTERS, JSONPATH),
            func.jsonb_build_object("party_id", party_id),
        )
        query = query.where(or_(warrants.c.holder_id == party_id, attests))
    return await load_all(connection, page(query.order_by(warrants.c.warrant_id), limit), WarrantView)


async def find_warrant(connection: AsyncConnection, issuer_id: str, warrant_id: str) -> WarrantView | None:
    """Return a warrant, or None."""
    query = _warrants().where(warrants.c.issuer_id == issuer_id, warrants.c.warrant_id == warrant_id)
    return await find_one(connection, query, WarrantView)


async def list_programmes(
    connection: AsyncConnection, issuer_id: str, *, party_id: str | None = None, after: str = "", limit: int = 100
) -> list[ProgrammeView]:
    """Return the programmes of an issuer by id above `after`; with `party_id`, only those that name this party."""
    query = select(programmes).where(programmes.c.issuer_id == issuer_id, programmes.c.programme_id > after)
    if party_id is not None:
        sides = (
            cast(column, JSONB).contains([party_id]) for column in (programmes.c.customer_ids, programmes.c.vendor_ids)
        )
        query = query.where(or_(*sides))
    return await load_all(connection, page(query.order_by(programmes.c.programme_id), limit), ProgrammeView)


async def list_price_sources(
    connection: AsyncConnection, issuer_id: str, *, recorder_id: str | None = None, after: str = "", limit: int = 100
) -> list[PriceSourceView]:
    """Return the price sources of an issuer, all or those of one recorder, by id above `after`."""
    query = select(price_sources).where(price_sources.c.issuer_id == issuer_id, price_sources.c.source_id > after)
    query = narrow(query, ((price_sources.c.recorder_id, recorder_id),))
    return await load_all(connection, page(query.order_by(price_sources.c.source_id), limit), PriceSourceView)


async def list_price_observations(
    connection: AsyncConnection, issuer_id: str, source_id: str, *, after: date = date.min, limit: int = 100
) -> list[PriceObservationView]:
    """Return the recorded prices of a source by day after `after`."""
    table = price_observations
    query = select(table).where(table.c.issuer_id == issuer_id, table.c.source_id == source_id, table.c.day > after)
    return await load_all(connection, page(query.order_by(table.c.day), limit), PriceObservationView)
