"""The sale of an issuer; `marketplace.domain.equity.issuer.issuer` documents the order of refusals."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Final

from events.financing import AssumedGrants, LaterPrincipal, StockConsideration
from events.issuer import (
    IssuerDistributionPaid,
    IssuerEvent,
    IssuerLiquidityDeclared,
    IssuerLiquidityWithdrawn,
    IssuerStockRepurchased,
    IssuerStockTransferred,
)
from events.issuer_holders import StatedAgreement
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_aware
from marketplace.core.money import (
    ZERO,
    ceil_cents,
    floor_cents,
    parse_ratio,
    render_ratio,
    require_price_per_share,
    require_usd,
)
from marketplace.domain.equity.instrument.commands import RepayInstrument
from marketplace.domain.equity.issuer.as_converted import measure_company, measure_preference
from marketplace.domain.equity.issuer.commands import (
    BuyerStock,
    DeclareLiquidity,
    IssuerCommand,
    PayDistribution,
    WithdrawLiquidity,
)
from marketplace.domain.equity.issuer.dilution import measure_claims, sum_principal
from marketplace.domain.equity.issuer.own_acts import is_own_act
from marketplace.domain.equity.issuer.payments import GAPS_SHOWN, list_gaps
from marketplace.domain.equity.issuer.rights.milestones import foresee
from marketplace.domain.equity.issuer.rules import (
    require_days,
    require_fits,
    require_no_financing,
    require_no_sale,
    require_seniority,
    require_signed,
)
from marketplace.domain.equity.issuer.sale.closing import list_later, list_payouts
from marketplace.domain.equity.issuer.sale.payouts import share_proceeds
from marketplace.domain.equity.issuer.state import Issuer, Sale, capitalization_of
from marketplace.domain.refusals import refuse_exists, refuse_status, refuse_unknown, require_found

INSTRUMENTS_MAX: Final = 999
"""The limit that keeps the payment and the end of every instrument within one atomic batch of 1,000."""
PAY_DAYS: Final = 60
"""A sale may be agreed to and paid for so many days after it was proposed, if it does not say otherwise."""
PAY_DAYS_MAX: Final = 92


def declare_liquidity(command: DeclareLiquidity, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the declaration with its waterfall; nothing if it is recorded. It replaces an earlier unpaid one."""
    known = state.sales.get(command.liquidity_id)
    if known is not None:
        waterfall = known.declared.waterfall
        if waterfall.proceeds_usd == command.proceeds_usd and (waterfall.stock is None) == (command.stock is None):
            return []
        raise refuse_exists("liquidity", command.liquidity_id)
    require_usd(command.proceeds_usd, "/proceeds_usd")
    require_aware(command.at, "/at")
    require_days(command.pay_days, PAY_DAYS_MAX, "/pay_days")
    if len(command.instruments) > INSTRUMENTS_MAX:
        raise Refusal(
            "too_many_instruments",
            f"{len(command.instruments)} instruments are outstanding; one payment can end {INSTRUMENTS_MAX}",
            pointer="/instruments",
            instruments_max=INSTRUMENTS_MAX,
        )
    require_signed(state, command.instruments)
    if command.safe_seniority is not None:
        require_seniority(command.safe_seniority)
    if command.stock is not None:
        require_price_per_share(command.stock.price_usd_per_share, "/stock/price_usd_per_share")
    _require_absent(state, command.agreed)
    require_no_financing(state)
    pay_until = command.at + timedelta(days=command.pay_days)
    counted = state
    if command.delivered is not None:
        counted = foresee(state, command.delivered, command.interested, command.at, pay_until)
    waterfall = share_proceeds(
        counted,
        command.proceeds_usd,
        command.instruments,
        at=command.at,
        until=pay_until,
        safe_seniority=command.safe_seniority,
        stock=command.stock,
    )
    event = IssuerLiquidityDeclared(
        issuer_id=command.issuer_id,
        liquidity_id=command.liquidity_id,
        kind="acquisition" if command.stock is None else "stock_acquisition",
        waterfall=waterfall,
        pay_until=pay_until,
        agreed=command.agreed,
        replaces=state.liquidity_id,
        assumed=command.assumed,
    )
    require_fits(event)
    return [event]


def _require_absent(state: Issuer, agreed: Sequence[StatedAgreement]) -> None:
    """Refuse to state the agreement of somebody who votes with its own key, or whom the issuer does not know."""
    for number, each in enumerate(agreed):
        if each.holder_id not in state.stakeholders:
            raise refuse_unknown("stakeholder", each.holder_id)
        if is_id(each.holder_id, "pty"):
            raise Refusal(
                "holder_votes_itself",
                f"{each.holder_id} is a party here and votes with its own key; state only holders who are no parties",
                pointer=f"/agreed/{number}/holder_id",
                holder_id=each.holder_id,
            )


def pay_distribution(command: PayDistribution, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the payment that ends the issuer."""
    sale = _get_sale(state, command.liquidity_id)
    if sale.status == "paid":
        return []
    if sale.status == "withdrawn":
        raise refuse_status("liquidity", command.liquidity_id, "withdrawn", "declared")
    _require_latest(state, sale)
    require_aware(command.at, "/at")
    require_payable(command.liquidity_id, sale.declared.pay_until, command.at)
    payouts = list_payouts(sale, state, command)
    later = list_later(sale, command.outstanding)
    cash = (*(each.cash_usd for each in payouts), *(each.amount_usd for each in later))
    event = IssuerDistributionPaid(
        issuer_id=command.issuer_id,
        liquidity_id=command.liquidity_id,
        amount_usd=sum(cash, ZERO),
        payouts=None if payouts == sale.declared.waterfall.payouts else payouts,
        later=later,
    )
    require_fits(event)
    return [event]


def _require_latest(state: Issuer, sale: Sale) -> None:
    """Refuse to pay or withdraw a sale that a later one replaced, and name that."""
    if sale.status != "replaced":
        return
    liquidity_id = sale.declared.liquidity_id
    later = next(name for name, each in state.sales.items() if each.declared.replaces == liquidity_id)
    raise Refusal(
        "liquidity_replaced",
        f"liquidity event {later} was declared after {liquidity_id} and replaced it; use the later one",
        liquidity_id=liquidity_id,
        later=later,
    )


def require_sale_kept(command: IssuerCommand, before: Issuer, after: Issuer) -> None:
    """Refuse an act of the company that would make its declared sale stale.

    What an instrument causes, such as the conversion of a note or the return of shares, is a right of its holder and is
    not refused.

    Raises:
        Refusal: ``sale_declared``.
    """
    if is_own_act(command) and capitalization_of(before) != capitalization_of(after):
        require_no_sale(before)


def require_payable(liquidity_id: str, pay_until: datetime, at: datetime) -> None:
    """Refuse to agree to a sale, or to pay one, whose time is over.

    Raises:
        Refusal: ``liquidity_overdue``.
    """
    if at >= pay_until:
        raise Refusal(
            "liquidity_overdue",
            f"liquidity event {liquidity_id} could be paid until {render_instant(pay_until)}; declare the sale again",
            liquidity_id=liquidity_id,
            pay_until=render_instant(pay_until),
        )


def withdraw_liquidity(command: WithdrawLiquidity, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the end of a declared sale; nothing if it is recorded."""
    sale = _get_sale(state, command.liquidity_id)
    if sale.status == "withdrawn":
        return []
    if sale.status == "paid":
        raise refuse_status("liquidity", command.liquidity_id, "paid", "declared")
    _require_latest(state, sale)
    if command.cause == "overdue":
        _require_overdue(command.liquidity_id, sale, command.at)
    return [
        IssuerLiquidityWithdrawn(
            issuer_id=command.issuer_id,
            liquidity_id=command.liquidity_id,
            cause=command.cause,
            reason=command.reason,
        )
    ]


def _require_overdue(liquidity_id: str, sale: Sale, at: datetime) -> None:
    require_aware(at, "/at")
    until = sale.declared.pay_until
    if at < until:
        raise Refusal(
            "liquidity_not_due",
            f"liquidity event {liquidity_id} may be paid until {render_instant(until)}",
            liquidity_id=liquidity_id,
            pay_until=render_instant(until),
        )


def require_proceeds(
    liquidity_id: str, payouts: Mapping[str, Decimal], available: Decimal, *, kept_usd: Decimal = ZERO, told: bool
) -> None:
    """Refuse to pay a sale before all the money for it is there.

    Args:
        liquidity_id: The sale.
        payouts: Cash by holder.
        available: What the company's account has.
        kept_usd: What delivery that is not settled and the ends of grants may cost.
        told: Whether the refusal may state the company's balance and what others get.

    Raises:
        Refusal: ``funds_insufficient``, with what every payee still lacks when they are paid by id.
    """
    needed = sum(payouts.values(), kept_usd)
    if needed <= available:
        return
    if not told:
        raise Refusal(
            "funds_insufficient",
            f"the company has not deposited all proceeds of {liquidity_id} yet; send this again once it has",
            liquidity_id=liquidity_id,
        )
    gaps = list_gaps(payouts, max(available - kept_usd, ZERO))
    raise Refusal(
        "funds_insufficient",
        f"{liquidity_id} takes {needed} USD{_render_kept(kept_usd)} and {available} USD is available; deposit"
        f" {needed - available} USD more for {', '.join(gaps[:GAPS_SHOWN])}",
        liquidity_id=liquidity_id,
        needed_usd=str(needed),
        available_usd=str(available),
        missing_usd=str(needed - available),
        missing_by_payee_usd=gaps,
        kept_usd=str(kept_usd),
    )


def _render_kept(kept_usd: Decimal) -> str:
    return f", {kept_usd} of them for delivery that is not settled and fees of grants that end," if kept_usd else ""


def require_buyer(issuer_id: str, stock: BuyerStock) -> None:
    """Refuse a buyer that is here and buys itself, or states no class of its stock.

    Raises:
        Refusal: ``buyer_is_sold`` or ``class_missing``.
    """
    if stock.buyer_issuer_id == issuer_id:
        raise Refusal(
            "buyer_is_sold", f"{issuer_id} cannot buy itself; name another buyer", pointer="/stock/buyer_issuer_id"
        )
    if stock.class_id is None:
        raise Refusal(
            "class_missing", f"state the class of {stock.buyer_issuer_id} that is issued", pointer="/stock/class_id"
        )


def require_assuming(issuer_id: str, assuming_id: str, stock: BuyerStock | None) -> None:
    """Refuse to let anybody but the buyer take over the grants of a company that is sold.

    Raises:
        Refusal: ``buyer_is_sold`` · ``buyer_differs``.
    """
    if assuming_id == issuer_id:
        text = f"{issuer_id} is sold, and cannot take over its own grants as the buyer"
        raise Refusal("buyer_is_sold", text, pointer="/assumed_by")
    if stock is not None and stock.buyer_issuer_id != assuming_id:
        raise Refusal(
            "buyer_differs",
            f"the sale is paid in stock of {stock.buyer_issuer_id or stock.buyer}, and {assuming_id} would take over"
            " the grants; only the buyer does",
            pointer="/assumed_by",
        )


def find_assumed(state: Issuer) -> AssumedGrants | None:
    """Return the grants that the buyer of a company takes over; None if there are none, or the sale is not paid."""
    if state.liquidity_id is None or not state.is_ended:
        return None
    return state.sales[state.liquidity_id].declared.assumed


def require_undiluted(liquidity_id: str, stock: StockConsideration, buyer: Issuer) -> None:
    """Refuse to deliver shares of a buyer that split, diluted or bought back its stock since the sale was declared.

    Nor does a buyer issue stock that its own declared sale does not count.

    Raises:
        Refusal: ``buyer_sold`` · ``buyer_split`` · ``buyer_diluted`` · ``buyer_drained``.
    """
    if buyer.find_sale() is not None:
        raise Refusal(
            "buyer_sold",
            f"the buyer is sold itself and issues no stock until that is paid or ends; pay {liquidity_id} then, or"
            " declare the sale again",
            liquidity_id=liquidity_id,
        )
    if stock.buyer_split_ratio != render_ratio(buyer.split_ratio):
        raise Refusal(
            "buyer_split",
            f"the buyer's stock was split since {liquidity_id} was declared, which changed its price and shares;"
            " declare the sale again",
            liquidity_id=liquidity_id,
        )
    shares, principal = ceil(measure_company(buyer)), sum_principal(buyer)
    before = (stock.buyer_shares or 0, stock.buyer_principal_usd or ZERO)
    preferred, ahead = parse_ratio(stock.buyer_preference_exact or "0/1"), measure_preference(buyer)
    claimed = measure_claims(buyer, Fraction(before[0])) > parse_ratio(stock.buyer_claims_exact or "0/1")
    if shares > before[0] or principal > before[1] or claimed or ahead > preferred:
        raise Refusal(
            "buyer_diluted",
            f"the buyer's stock was diluted since {liquidity_id} was declared: it has {shares} fully diluted shares,"
            f" instruments that count as {principal} USD and preferences of {floor_cents(ahead)} USD, and had"
            f" {before[0]} shares, {before[1]} USD and {floor_cents(preferred)} USD, or its instruments have better"
            " terms now; declare the sale again",
            liquidity_id=liquidity_id,
            shares=shares,
            shares_before=before[0],
            principal_usd=str(principal),
            principal_before_usd=str(before[1]),
            preference_exact=render_ratio(ahead),
            preference_before_exact=render_ratio(preferred),
        )
    _require_undrained(liquidity_id, stock, buyer)


def _require_undrained(liquidity_id: str, stock: StockConsideration, buyer: Issuer) -> None:
    spent, spent_before = sum_repurchases(buyer), stock.buyer_repurchased_usd or ZERO
    if spent > spent_before:
        raise Refusal(
            "buyer_drained",
            f"the buyer bought back stock for {spent - spent_before} USD since {liquidity_id} was declared, which the"
            " price of its stock does not count; declare the sale again",
            liquidity_id=liquidity_id,
            repurchased_usd=str(spent),
            repurchased_before_usd=str(spent_before),
        )


def sum_repurchases(state: Issuer) -> Decimal:
    """Return the dollars for which an issuer has ever bought back its stock, rounded up to a cent."""
    bought = (act for act in state.acts.values() if isinstance(act, IssuerStockRepurchased))
    spent = sum((each.shares * Fraction(each.price_usd_per_share) for each in bought), Fraction(0))
    for transfer_id, offer in state.offers.items():
        taken = state.acts.get(transfer_id)
        if isinstance(taken, IssuerStockTransferred) and taken.holder_id_after == state.formed.party_id:
            spent += taken.shares * Fraction(offer.offered.price_usd_per_share)
    return ceil_cents(spent)


def list_repayments(
    state: Issuer, liquidity_id: str, outstanding: Sequence[LaterPrincipal]
) -> tuple[RepayInstrument, ...]:
    """Return the commands that end the instruments of a sale that is just paid, for the batch that pays it.

    Args:
        state: The issuer after the payment.
        liquidity_id: The sale.
        outstanding: All principal that was outstanding.

    Raises:
        Refusal: ``liquidity_unknown``.
    """
    sale = _get_sale(state, liquidity_id)
    amounts = dict.fromkeys((each.instrument_id for each in outstanding), ZERO)
    for each in sale.later:
        amounts[each.instrument_id] += each.amount_usd
    for payout in sale.declared.waterfall.payouts:
        if payout.security in amounts:
            amounts[payout.security] += payout.amount_usd
    return tuple(
        RepayInstrument(instrument_id=instrument_id, cause=liquidity_id, amount_usd=amount)
        for instrument_id, amount in amounts.items()
    )


def list_cash(state: Issuer, liquidity_id: str) -> Iterator[tuple[str, Decimal]]:
    """Yield what a sale that is just paid pays in cash: by holder, one amount for each security and instrument."""
    sale = _get_sale(state, liquidity_id)
    yield from ((each.holder_id, each.cash_usd) for each in sale.declared.waterfall.payouts)
    yield from ((each.holder_id, each.amount_usd) for each in sale.later)


def _get_sale(state: Issuer, liquidity_id: str) -> Sale:
    return require_found("liquidity", liquidity_id, state.sales.get(liquidity_id))
