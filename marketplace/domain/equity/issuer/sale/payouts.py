"""Convert a sale's inputs to the equity mathematics, and its payouts back to events."""

from collections.abc import Iterable, Iterator, Sequence
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
from marketplace.domain.equity.issuer.rights.vesting import count_exercisable
from marketplace.domain.equity.issuer.state import (
    RUN,
    Issuer,
    Warrant,
    capitalization_of,
    is_accelerated,
    list_live_warrants,
    render_seniority,
)
from marketplace.equity.certificates import ENGINE_VERSION
from marketplace.equity.exchanges import paid_in_stock
from marketplace.equity.liquidation import OptionGrant
from marketplace.equity.waterfall import Distribution, distribute
from marketplace.equity.waterfall import Payout as Paid


def share_proceeds(
    state: Issuer,
    proceeds_usd: Decimal,
    instruments: Iterable[ConvertingInstrument],
    *,
    at: datetime,
    until: datetime,
    safe_seniority: int | None,
    stock: BuyerStock | None = None,
) -> Waterfall:
    """Return the waterfall of a sale, in cash or in the buyer's stock.

    Args:
        state: The company.
        proceeds_usd: What is shared.
        instruments: Its outstanding SAFEs and notes.
        at: When it is sold; notes earn interest until then.
        until: Until when it may be paid; options vest until then.
        safe_seniority: The rank of SAFEs among preferred stock, a higher one first; None if there is only one.
        stock: The buyer's stock; None for cash.

    Raises:
        Refusal: Those of `marketplace.equity.waterfall.distribute`.
    """
    ordered = order_instruments(instruments)
    names = name_runs(ordered)
    rights = list_option_grants(state, at, until, proceeds_usd)
    options = sum(int(right.shares) for right in rights if right.grant_id in state.options)
    warrants = sum(int(right.shares) for right in rights) - options
    result = distribute(
        proceeds_usd,
        replace(capitalization_of(state, at), options_granted=options, warrants=warrants),
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


def list_option_grants(state: Issuer, at: datetime, until: datetime, proceeds_usd: Decimal) -> tuple[OptionGrant, ...]:
    """Return options and warrants with shares and exercise prices, as a sale for these proceeds counts them.

    An option counts with the shares that have vested by `until`, the last instant of the sale, if it may be exercised
    at `at`. A warrant counts with the shares that may be exercised. If the sale accelerates a warrant, it counts in
    full, and a tranche whose price is not fixed has the warrant's own price.
    """
    options = (
        OptionGrant(option_id, option.holder_id, shares, option.exercise_price_usd)
        for option_id, option in sorted(state.options.items())
        if option.exercisable_until is None or at.date() <= option.exercisable_until
        if (shares := count_exercisable(option, until.date()))
    )
    warrants = (
        grant
        for warrant_id, warrant in list_live_warrants(state, at)
        for grant in _list_tranche_grants(warrant_id, warrant, proceeds_usd)
    )
    return (*options, *warrants)


def _list_tranche_grants(warrant_id: str, warrant: Warrant, proceeds_usd: Decimal) -> Iterator[OptionGrant]:
    """Yield the shares at each exercise price. The first has the warrant's id, every other one the id and a number."""
    shares: dict[Fraction, int] = {}
    for tranche in warrant.tranches:
        counted = tranche.outstanding if is_accelerated(warrant, proceeds_usd) else tranche.exercisable
        if counted:
            price = warrant.exercise_price_usd if tranche.price_usd is None else tranche.price_usd
            shares[price] = shares.get(price, 0) + counted
    for position, (price, counted) in enumerate(shares.items()):
        name = f"{warrant_id}{RUN}{position}" if position else warrant_id
        yield OptionGrant(name, warrant.holder_id, counted, price)


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
