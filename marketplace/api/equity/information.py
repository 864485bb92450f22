"""Information rights: what a holder sees of an issuer, by the depth that the holder terms grant to what it holds.

| depth | cap table | financings and sales |
|---|---|---|
| ``own`` | its own rows, and the totals | terms, prices and totals; of the rows its own |
| ``summary`` | these, and the sums of all others by security | these, and the sums of all others |
| ``full`` | everything | everything, with the certificate |

A sum of others' rows stands under the issuer's id.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from msgspec import structs
from sqlalchemy.ext.asyncio import AsyncConnection

from events.financing import Investment, Payout, RoundPricing, Waterfall
from events.issuer import IssuerLiquidityDeclared
from events.issuer_holders import Depth, HolderTerms
from events.proposal import ProposedEvent
from events.registry import parse_body, render_body
from marketplace.api.http.queries import Reader
from marketplace.core.ids import is_id
from marketplace.core.money import ZERO, parse_ratio, render_ratio
from marketplace.domain.refusals import refuse_unknown
from marketplace.projections.engine.projection import get_tag_of
from marketplace.projections.equity.cap_tables import find_depth, find_issuer
from marketplace.projections.views.equity import (
    CapTableRow,
    CapTableView,
    FinancingView,
    IssuerView,
    LiquidityView,
    ProposalView,
    SaleSummary,
)

_DECLARED: Final = get_tag_of(IssuerLiquidityDeclared)
_KINDS: Final = {"ins": "instruments", "opt": "options", "wrt": "warrants"}


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
    """Return an issuer that the reader may see: as its company, as the platform, or as a holder of its securities.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    view = await find_issuer(connection, issuer_id)
    if view is not None and reader.party_id is not None and reader.party_id != view.party_id:
        depth = await find_depth(connection, view, reader.party_id)
        if depth is not None:
            return Sight(view, reader.party_id, depth)
    return Sight(reader.require(view, "issuer", issuer_id, lambda row: (row.party_id,)), reader.party_id)


async def load_voter_sight(connection: AsyncConnection, reader: Reader, issuer_id: str) -> Sight:
    """Return an issuer for a reader who may see a proposal of it.

    A director sees as much as the company. A voter that holds nothing, such as a buyer, sees terms and totals.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    view, party_id = await find_issuer(connection, issuer_id), reader.party_id
    if view is None:
        raise refuse_unknown("issuer", issuer_id)
    directors = (view.holder_terms or HolderTerms()).directors
    if party_id is None or party_id in {view.party_id, *directors}:
        return Sight(view, party_id)
    return Sight(view, party_id, await find_depth(connection, view, party_id) or "own")


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


def find_waterfall(view: ProposalView) -> Waterfall | None:
    """Return the waterfall that a proposal would pay; None if it is not one of a sale."""
    events = (_parse(effect) for effect in view.effects if effect.type == _DECLARED)
    return next((event.waterfall for event in events), None)


def limit_proposal(view: ProposalView, sight: Sight) -> ProposalView:
    """Return what the reader may see of a proposal of a sale, with what it pays the reader and each security."""
    waterfall = find_waterfall(view)
    if waterfall is None:
        return view
    yours = tuple(payout for payout in waterfall.payouts if payout.holder_id == sight.party_id)
    everybody = sight.issuer.issuer_id
    sale = SaleSummary(
        proceeds_usd=waterfall.proceeds_usd,
        yours=yours,
        yours_usd=sum((payout.amount_usd for payout in yours), ZERO),
        by_security={payout.security: payout.amount_usd for payout in _sum_payouts(waterfall.payouts, everybody)},
    )
    return structs.replace(view, effects=tuple(_limit_effect(each, sight) for each in view.effects), sale=sale)


def _limit_effect(effect: ProposedEvent, sight: Sight) -> ProposedEvent:
    if effect.type != _DECLARED or sight.depth == "full":
        return effect
    event = _parse(effect)
    limited = structs.replace(event, waterfall=limit_waterfall(event.waterfall, sight))
    return structs.replace(effect, body_json=render_body(limited).decode())


def _parse(effect: ProposedEvent) -> IssuerLiquidityDeclared:
    event = parse_body(effect.type, effect.body_json.encode())
    assert isinstance(event, IssuerLiquidityDeclared), "only sales are limited"
    return event


def _sum_payouts(payouts: Iterable[Payout], issuer_id: str) -> list[Payout]:
    """Return one payout per class of stock and per kind of other security, whose ids would tell who holds it."""
    found: dict[str, Payout] = {}
    for each in payouts:
        kind = next((kind for prefix, kind in _KINDS.items() if is_id(each.security, prefix)), each.security)
        known = found.get(kind)
        first = structs.replace(each, holder_id=issuer_id, security=kind)
        found[kind] = first if known is None else _add(known, each)
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
