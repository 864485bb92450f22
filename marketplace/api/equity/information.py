"""Information rights: what a holder sees of an issuer, by the depth that the holder terms grant to what it holds.

| depth | cap table | financings and sales |
|---|---|---|
| ``own`` | its own rows, and the totals | terms, prices and totals; of the rows its own |
| ``summary`` | these, and the rows of all others by security | these, and the rows of all others together |
| ``full`` | everything | everything, with the certificate |

Where rows of others are summed, they stand under the issuer's id.
"""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import structs
from sqlalchemy.ext.asyncio import AsyncConnection

from events.financing import Investment, Payout, RoundPricing, Waterfall
from events.issuer_holders import Depth
from marketplace.api.http.queries import Reader
from marketplace.core.money import ZERO, parse_ratio, render_ratio
from marketplace.projections.equity.cap_tables import find_depth, find_issuer
from marketplace.projections.views.equity import CapTableRow, CapTableView, FinancingView, IssuerView, LiquidityView


class Sight(NamedTuple):
    """An issuer, and how deep the reader sees into it.

    Attributes:
        issuer: The issuer.
        party_id: The reader; None for the platform.
        depth: ``full`` for the company and the platform.
    """

    issuer: IssuerView
    party_id: str | None
    depth: Depth = "full"


async def load_sight(connection: AsyncConnection, reader: Reader, issuer_id: str) -> Sight:
    """Return an issuer that the reader may see, as its company, as the platform, or because it holds of it.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    view = await find_issuer(connection, issuer_id)
    if view is not None and reader.party_id is not None and reader.party_id != view.party_id:
        depth = await find_depth(connection, view, reader.party_id)
        if depth is not None:
            return Sight(view, reader.party_id, depth)
    return Sight(reader.require(view, "issuer", issuer_id, lambda row: (row.party_id,)), reader.party_id)


def limit_cap_table(table: CapTableView, sight: Sight) -> CapTableView:
    """Return what the reader may see of a cap table; the totals stay."""
    if sight.depth == "full":
        return table
    own = [row for row in table.rows if row.holder_id == sight.party_id]
    others = [] if sight.depth == "own" else _sum_rows(table, sight)
    return structs.replace(table, rows=(*own, *others))


def _sum_rows(table: CapTableView, sight: Sight) -> list[CapTableRow]:
    """Return one row per class of stock, and one each for options, warrants, promises and the pool."""
    found: dict[tuple[str, str], CapTableRow] = {}
    for row in table.rows:
        if row.holder_id == sight.party_id:
            continue
        key = (row.kind, row.security if row.kind == "stock" else row.kind)
        known = found.get(key)
        shares = row.shares + (0 if known is None else known.shares)
        sequence = max(row.last_sequence, 0 if known is None else known.last_sequence)
        found[key] = CapTableRow(
            kind=row.kind,
            holder_id="" if row.kind == "pool" else sight.issuer.issuer_id,
            name=None,
            security=key[1],
            class_id=row.class_id if row.kind == "stock" else None,
            shares=shares,
            last_sequence=sequence,
        )
    return list(found.values())


def limit_financing(view: FinancingView, sight: Sight) -> FinancingView:
    """Return what the reader may see of a round."""
    if sight.depth == "full":
        return view
    party_id = sight.party_id or ""
    own = [each for each in view.terms.investments if each.holder_id == party_id]
    rest = sum((each.amount_usd for each in view.terms.investments if each.holder_id != party_id), ZERO)
    if rest:
        own.append(Investment(holder_id=sight.issuer.issuer_id, amount_usd=rest))
    return structs.replace(
        view,
        terms=structs.replace(view.terms, investments=tuple(own), pay_to_play=None),
        pro_rata=tuple(each for each in view.pro_rata if each.holder_id == party_id),
        pro_rata_taken={holder: amount for holder, amount in view.pro_rata_taken.items() if holder == party_id},
        pricing=None if view.pricing is None else _limit_pricing(view.pricing, party_id),
        approval=None,
    )


def _limit_pricing(pricing: RoundPricing, party_id: str) -> RoundPricing:
    return structs.replace(
        pricing,
        instruments=tuple(each for each in pricing.instruments if each.holder_id == party_id),
        conversions=tuple(each for each in pricing.conversions if each.holder_id == party_id),
        allotments=tuple(each for each in pricing.allotments if each.holder_id == party_id),
        forfeits=tuple(each for each in pricing.forfeits if each.holder_id == party_id),
        certificate_json="",
    )


def limit_sale(view: LiquidityView, sight: Sight) -> LiquidityView:
    """Return what the reader may see of a sale."""
    return structs.replace(view, waterfall=limit_waterfall(view.waterfall, sight))


def limit_waterfall(waterfall: Waterfall, sight: Sight) -> Waterfall:
    """Return what the reader may see of a waterfall: its own payouts, and those of others as its depth says."""
    if sight.depth == "full":
        return waterfall
    own = [each for each in waterfall.payouts if each.holder_id == sight.party_id]
    others = [each for each in waterfall.payouts if each.holder_id != sight.party_id]
    summed = [] if sight.depth == "own" else _sum_payouts(others, sight.issuer.issuer_id)
    return structs.replace(
        waterfall,
        instruments=tuple(each for each in waterfall.instruments if each.holder_id == sight.party_id),
        payouts=(*own, *summed),
        certificate_json="",
    )


def _sum_payouts(payouts: Iterable[Payout], issuer_id: str) -> list[Payout]:
    """Return one payout per class of stock and kind of other security."""
    found: dict[str, Payout] = {}
    for each in payouts:
        known = found.get(each.security)
        found[each.security] = structs.replace(each, holder_id=issuer_id) if known is None else _add(known, each)
    return list(found.values())


def _add(one: Payout, other: Payout) -> Payout:
    return structs.replace(
        one,
        amount_exact=render_ratio(parse_ratio(one.amount_exact) + parse_ratio(other.amount_exact)),
        amount_usd=one.amount_usd + other.amount_usd,
        cash_usd=one.cash_usd + other.cash_usd,
        buyer_shares_exact=None
        if one.buyer_shares_exact is None or other.buyer_shares_exact is None
        else render_ratio(parse_ratio(one.buyer_shares_exact) + parse_ratio(other.buyer_shares_exact)),
        buyer_shares=None
        if one.buyer_shares is None or other.buyer_shares is None
        else one.buyer_shares + other.buyer_shares,
    )
