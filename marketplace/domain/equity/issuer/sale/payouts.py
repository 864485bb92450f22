"""Convert a sale's inputs to the equity mathematics, and its payouts back to events."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from events.financing import ConvertingInstrument, Payout, StockConsideration, Waterfall
from marketplace.core.money import render_ratio
from marketplace.domain.equity.issuer.commands import BuyerStock
from marketplace.domain.equity.issuer.financing.pricing import (
    list_notes,
    list_safes,
    name_runs,
    order_instruments,
    render_certificate,
)
from marketplace.domain.equity.issuer.state import (
    RUN,
    Issuer,
    capitalization_of,
    list_option_grants,
    render_seniority,
)
from marketplace.equity.certificates import ENGINE_VERSION
from marketplace.equity.exchanges import paid_in_stock
from marketplace.equity.waterfall import Distribution, distribute
from marketplace.equity.waterfall import Payout as Paid


def share_proceeds(
    state: Issuer,
    proceeds_usd: Decimal,
    instruments: Iterable[ConvertingInstrument],
    *,
    at: datetime,
    safe_seniority: int | None,
    stock: BuyerStock | None = None,
) -> Waterfall:
    """Return the waterfall of a sale, in cash or in the buyer's stock.

    Args:
        state: The company.
        proceeds_usd: What is shared.
        instruments: Its outstanding SAFEs and notes.
        at: When it is sold; notes earn interest until then.
        safe_seniority: The rank of SAFEs among preferred stock, a higher one first; None if there is only one.
        stock: The buyer's stock; None for cash.

    Raises:
        Refusal: Those of `marketplace.equity.waterfall.distribute`.
    """
    ordered = order_instruments(instruments)
    names = name_runs(ordered)
    rights = list_option_grants(state, at, proceeds_usd)
    company = capitalization_of(state, at)
    warrants = sum(int(right.shares) for right in rights) - company.options_granted
    result = distribute(
        proceeds_usd,
        replace(company, warrants=warrants),
        safes=list_safes(ordered, names),
        notes=list_notes(ordered, names, apart=True),
        options=rights,
        on_day=at.date(),
        safe_seniority=None if safe_seniority is None else render_seniority(safe_seniority),
    )
    shares = {(right.holder_id, right.grant_id): int(right.shares) for right in rights} | dict(state.holdings)
    gave_way = {item for election in result.elections if election.choice != "hold" for item in election.item_ids}
    return Waterfall(
        engine_version=ENGINE_VERSION,
        proceeds_usd=proceeds_usd,
        instruments=ordered,
        price_per_common_share_exact=render_ratio(result.price_per_common_share_usd),
        payouts=render_payouts(
            result.payouts,
            [each.item_id in gave_way for each in result.payouts],
            [shares.get((each.holder_id, each.item_id)) for each in result.payouts],
            None if stock is None else stock.price_usd_per_share,
        ),
        certificate_json=render_certificate(result.certificate),
        safe_seniority=safe_seniority,
        stock=None if stock is None else _render_stock(result, stock),
    )


def _render_stock(result: Distribution, stock: BuyerStock) -> StockConsideration:
    return StockConsideration(
        buyer=stock.buyer,
        price_usd_per_share=stock.price_usd_per_share,
        exchange_ratio=render_ratio(result.price_per_common_share_usd / Fraction(stock.price_usd_per_share)),
        buyer_issuer_id=stock.buyer_issuer_id,
        class_id=stock.class_id,
        buyer_split_ratio=stock.buyer_split_ratio,
        buyer_shares=stock.buyer_shares,
        buyer_principal_usd=stock.buyer_principal_usd,
        buyer_claims_exact=stock.buyer_claims_exact,
        buyer_preference_exact=stock.buyer_preference_exact,
        buyer_repurchased_usd=stock.buyer_repurchased_usd,
    )


def render_payouts(
    paid: Sequence[Paid], converted: Sequence[bool], shares: Sequence[int | None], price_usd: Decimal | None
) -> tuple[Payout, ...]:
    """Return the rows of a waterfall.

    Args:
        paid: What each holder is paid for each item.
        converted: By row, whether it is paid as common stock.
        shares: By row, its shares or those that it buys; None for principal.
        price_usd: The value of one share of the buyer; None if it pays in cash.
    """
    swapped = None if price_usd is None else paid_in_stock(paid, price_usd)
    return tuple(
        Payout(
            holder_id=payout.holder_id,
            security=payout.item_id.partition(RUN)[0],
            amount_exact=render_ratio(payout.amount_usd_exact),
            amount_usd=payout.amount_usd,
            as_converted=converted[index],
            cash_usd=payout.amount_usd if swapped is None else swapped[index].cash_usd,
            buyer_shares_exact=None if swapped is None else render_ratio(swapped[index].shares_exact),
            buyer_shares=None if swapped is None else swapped[index].shares,
            shares=shares[index],
        )
        for index, payout in enumerate(paid)
    )
