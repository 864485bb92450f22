"""A buyer with an issuer on this market: the stock that it pays with, and the capacity that it takes over."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from math import ceil

from msgspec import structs

from events.financing import AssumedGrant, AssumedGrants
from marketplace.application.steps.binding import require_offers_kept
from marketplace.core.ids import derive_id
from marketplace.core.money import ZERO, render_ratio
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.delivery.substitution import ALL_CASH
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.issuer.as_converted import measure_company, measure_preference
from marketplace.domain.equity.issuer.commands import AddStakeholder, BuyerStock
from marketplace.domain.equity.issuer.dilution import measure_claims, sum_principal
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.rules import get_class
from marketplace.domain.equity.issuer.sale.liquidity import (
    require_assuming,
    require_buyer,
    require_undiluted,
    sum_repurchases,
)
from marketplace.domain.equity.issuer.state import Issuer, list_holders
from marketplace.domain.equity.issuer.stock_commands import IssueStock
from marketplace.domain.refusals import refuse_unknown
from marketplace.execution.unit_of_work import UnitOfWork


async def load_buyer(unit: UnitOfWork, buyer_issuer_id: str) -> Issuer:
    """Return the issuer of a buyer.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    buyer = await unit.load(ISSUER, buyer_issuer_id)
    if not isinstance(buyer, Issuer):
        raise refuse_unknown("issuer", buyer_issuer_id)
    return buyer


async def name_buyer(
    unit: UnitOfWork, issuer_id: str, stock: BuyerStock | None, *, again: bool = False
) -> BuyerStock | None:
    """Return the buyer's stock with the buyer's present capitalisation; unchanged if its issuer is not on this market.

    Whether the buyer has the class is asked with the last agreement (`again`). As the sale is proposed, it is asked
    only of who may see the buyer's classes; otherwise a seller would find out their names by proposing sales.

    Raises:
        Refusal: ``issuer_unknown`` · refusals of `require_buyer` · ``stock_class_unknown``.
    """
    if stock is None or stock.buyer_issuer_id is None:
        return stock
    require_buyer(issuer_id, stock)
    buyer = await load_buyer(unit, stock.buyer_issuer_id)
    if again or unit.context.party_id in {None, buyer.formed.party_id, *list_holders(buyer)}:
        get_class(buyer, stock.class_id or "")
    shares = ceil(measure_company(buyer))
    return structs.replace(
        stock,
        buyer_split_ratio=render_ratio(buyer.split_ratio),
        buyer_shares=shares,
        buyer_principal_usd=sum_principal(buyer),
        buyer_claims_exact=render_ratio(measure_claims(buyer, Fraction(shares))),
        buyer_preference_exact=render_ratio(measure_preference(buyer)),
        buyer_repurchased_usd=sum_repurchases(buyer),
    )


async def name_assumed(
    unit: UnitOfWork, issuer: Issuer, assuming_id: str | None, stock: BuyerStock | None, at: datetime
) -> AssumedGrants | None:
    """Return the grants that are paid for in equity, with the most cash that the buyer pays for the rest of each.

    None if no buyer takes them over.

    Raises:
        Refusal: ``buyer_is_sold`` · ``buyer_differs`` · ``issuer_unknown``.
    """
    if assuming_id is None:
        return None
    require_assuming(issuer.formed.issuer_id, assuming_id, stock)
    await load_buyer(unit, assuming_id)
    found = []
    for instrument_id in sorted(issuer.instruments):
        grant_id = (await unit.get(INSTRUMENT, instrument_id)).issued.grant_id
        grant = None if grant_id is None else await unit.get(GRANT, grant_id)
        cash_usd = ZERO if grant is None else _bound_cost(grant, at)
        if grant is not None and cash_usd:
            found.append(AssumedGrant(grant_id=grant.issued.grant_id, cash_usd_max=cash_usd))
    return AssumedGrants(issuer_id=assuming_id, grants=tuple(found))


def _bound_cost(grant: Grant, at: datetime) -> Decimal:
    """Return the most USD that a buyer pays for the rest of a grant from `at` on; 0 if it was bought in a resale."""
    tariff = build_tariff(structs.replace(grant.issued, cash_share=ALL_CASH))
    seconds = 0 if grant.issued.resale is not None else grant.count_left(max(at, grant.issued.start))
    return compute_totals(tariff, seconds).startup_usd


async def deliver_stock(unit: UnitOfWork, issuer: Issuer, liquidity_id: str, auction_ids: Iterable[str] = ()) -> None:
    """Issue the buyer's shares to the holders of a sale, if the buyer's issuer is on this market.

    Raises:
        Refusal: ``buyer_sold`` · ``buyer_split`` · ``buyer_diluted`` · ``buyer_drained`` · refusals of the buyer's
            issuer · ``market_deciding``, while one of these auctions decides on an order that the buyer pays for.
    """
    waterfall = issuer.sales[liquidity_id].declared.waterfall
    stock = waterfall.stock
    if stock is None or stock.buyer_issuer_id is None or stock.class_id is None:
        return
    buyer_id = stock.buyer_issuer_id
    require_undiluted(liquidity_id, stock, await load_buyer(unit, buyer_id))
    shares: dict[str, int] = {}
    for payout in waterfall.payouts:
        shares[payout.holder_id] = shares.get(payout.holder_id, 0) + (payout.buyer_shares or 0)
    for holder_id, count in sorted(shares.items()):
        if not count:
            continue
        buyer = await unit.get(ISSUER, buyer_id, Issuer)
        known = issuer.stakeholders.get(holder_id)
        if holder_id not in buyer.stakeholders:
            add = AddStakeholder(
                issuer_id=buyer_id,
                holder_id=holder_id,
                name=holder_id if known is None else known.name,
                kind="investor" if known is None else known.kind,
            )
            await unit.decide(ISSUER, buyer_id, add)
        issue = IssueStock(
            issuer_id=buyer_id,
            security_id=derive_id("sec", liquidity_id, holder_id),
            holder_id=holder_id,
            class_id=stock.class_id,
            shares=count,
            price_usd_per_share=stock.price_usd_per_share,
            cause=liquidity_id,
        )
        await unit.decide(ISSUER, buyer_id, issue)
    await require_offers_kept(unit, buyer_id, auction_ids)
