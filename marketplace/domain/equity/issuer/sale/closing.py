"""Who gets what as a declared sale is paid.

A sale pays what its holders voted on, whatever happens beside it:

- A share is paid to who holds it at the payment, as much as each share of its class was declared.
- An option or a warrant that ends before the sale may be paid may be exercised meanwhile, as far as the waterfall
  counts it. Its shares are then paid as common stock, and the company has the exercise money. One that ended
  unexercised is paid.
- Principal that was reversed is paid no more, nor are rights that a reduction unvests before their warrant ends. What
  they would have got stays with the company.
- Principal that accrued since is no part of the waterfall: the company pays it in full, in cash, beside the proceeds.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from msgspec import structs

from events.financing import LaterPrincipal, Payout
from marketplace.core.errors import Refusal
from marketplace.core.money import ZERO, parse_ratio, render_ratio
from marketplace.core.rounding import allocate, round_whole
from marketplace.domain.equity.issuer.commands import PayDistribution
from marketplace.domain.equity.issuer.rights.milestones import foresee
from marketplace.domain.equity.issuer.sale.payouts import render_payouts
from marketplace.domain.equity.issuer.state import Issuer, Sale, is_accelerated
from marketplace.equity.waterfall import Payout as Paid


def list_payouts(sale: Sale, state: Issuer, command: PayDistribution) -> tuple[Payout, ...]:
    """Return what a declared sale pays now; see the module.

    Args:
        sale: The sale.
        state: The company now.
        command: Its payment.

    Raises:
        Refusal: ``liquidity_stale`` if the company has shares that the waterfall does not count, or the waterfall does
            not state the shares that it pays.
    """
    waterfall = sale.declared.waterfall
    _require_stated(sale, state)
    rows = list(_list_rows(sale, state, command))
    amounts = [parse_ratio(row.amount_exact) for row in rows]
    if sorted(map(_read, rows)) == sorted(map(_read, waterfall.payouts)):
        return waterfall.payouts
    cents = allocate(round_whole(100 * sum(amounts, Fraction(0)), "floor"), amounts)
    paid = [
        Paid(row.holder_id, row.security, amount, Decimal(cent).scaleb(-2))
        for row, amount, cent in zip(rows, amounts, cents, strict=True)
    ]
    price = None if waterfall.stock is None else waterfall.stock.price_usd_per_share
    return render_payouts(paid, [row.as_converted for row in rows], [row.shares for row in rows], price)


def list_later(sale: Sale, outstanding: Sequence[LaterPrincipal]) -> tuple[LaterPrincipal, ...]:
    """Return the outstanding principal that accrued after a sale was declared."""
    declared = _sum_principal(sale)
    more = (
        structs.replace(each, amount_usd=each.amount_usd - declared.get(each.instrument_id, ZERO))
        for each in outstanding
    )
    return tuple(each for each in more if each.amount_usd > 0)


def _read(row: Payout) -> tuple[str, str, str, int]:
    return row.holder_id, row.security, row.amount_exact, row.shares or 0


def _sum_principal(sale: Sale) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for run in sale.declared.waterfall.instruments:
        found[run.instrument_id] = found.get(run.instrument_id, ZERO) + run.principal_usd
    return found


def _require_stated(sale: Sale, state: Issuer) -> None:
    """Refuse a waterfall, such as an imported one, whose rows do not state the principal or shares that they pay."""
    declared = _sum_principal(sale)
    for row in sale.declared.waterfall.payouts:
        if row.security in state.classes:
            is_stated = row.shares is not None
        else:
            is_stated = bool(declared.get(row.security, row.shares))
        if not is_stated:
            liquidity_id = sale.declared.liquidity_id
            raise Refusal(
                "liquidity_stale",
                f"the waterfall of liquidity event {liquidity_id} does not state what it pays {row.security} for, so it"
                " cannot be paid; declare it again with a new id",
                liquidity_id=liquidity_id,
                security=row.security,
            )


def _list_rows(sale: Sale, state: Issuer, command: PayDistribution) -> Iterator[Payout]:
    """Yield the rows of the waterfall as they are paid now, with exact amounts; cents and shares of a buyer follow."""
    waterfall, declared = sale.declared.waterfall, _sum_principal(sale)
    left = {each.instrument_id: each.amount_usd for each in command.outstanding}
    vested = state
    if command.delivered is not None:
        vested = foresee(state, command.delivered, command.interested, command.at, sale.declared.pay_until)
    classes: dict[str, list[Payout]] = {each.class_id: [] for each in sale.exercised}
    for row in waterfall.payouts:
        if row.security in state.classes:
            classes.setdefault(row.security, []).append(row)
        elif row.security in declared:
            kept = min(Fraction(left.get(row.security, ZERO)) / Fraction(declared[row.security]), Fraction(1))
            yield _scale(row, kept)
        else:
            counted = row.shares or 0
            rights = _count_rights(sale, vested, row, counted, command.at)
            yield structs.replace(_scale(row, Fraction(rights, counted)), shares=rights)
    for class_id, rows in sorted(classes.items()):
        yield from _list_stock(sale, state, class_id, rows)


def _scale(row: Payout, part: Fraction) -> Payout:
    return structs.replace(row, amount_exact=render_ratio(parse_ratio(row.amount_exact) * part))


def _count_rights(sale: Sale, vested: Issuer, row: Payout, counted: int, at: datetime) -> int:
    """Return how many counted rights are neither exercised nor clawed back, themselves or what bought them."""
    used = (each for each in sale.exercised if each.right_id == row.security)
    rights = counted - sum(each.rights for each in used if _is_at_price(each.price_usd, row, sale))
    warrant = vested.warrants.get(row.security)
    if warrant is None or warrant.expired:
        return rights
    is_kept = warrant.issued.on_reduction == "keep" or warrant.is_past(at)
    if is_kept or is_accelerated(warrant, sale.declared.waterfall.proceeds_usd):
        return min(rights, warrant.shares_outstanding)
    priced = ((each.exercisable, each.price_usd) for each in warrant.tranches)
    return min(rights, sum(left for left, usd in priced if usd is not None and _is_at_price(usd, row, sale)))


def _is_at_price(exercise_price_usd: Fraction, row: Payout, sale: Sale) -> bool:
    """Return whether a row pays rights of this exercise price; a warrant with several prices has several rows."""
    price = parse_ratio(sale.declared.waterfall.price_per_common_share_exact)
    gain = max(price - exercise_price_usd, Fraction(0)) * (row.shares or 0)
    return gain == parse_ratio(row.amount_exact)


def _list_stock(sale: Sale, state: Issuer, class_id: str, rows: Sequence[Payout]) -> Iterator[Payout]:
    """Yield a row for each holder of a class: every share is paid as much as was declared for one."""
    declared = sum(row.shares or 0 for row in rows)
    bought = sum(each.shares for each in sale.exercised if each.class_id == class_id)
    holders = {holder: shares for (holder, held), shares in sorted(state.holdings.items()) if held == class_id}
    if sum(holders.values()) > declared + bought:
        liquidity_id = sale.declared.liquidity_id
        raise Refusal(
            "liquidity_stale",
            f"shares of {class_id} were issued since liquidity event {liquidity_id} was declared, which its waterfall"
            " does not count; declare it again with a new id",
            liquidity_id=liquidity_id,
            class_id=class_id,
        )
    price = parse_ratio(sale.declared.waterfall.price_per_common_share_exact)
    if declared:
        price = sum((parse_ratio(row.amount_exact) for row in rows), Fraction(0)) / declared
    converted = any(row.as_converted for row in rows)
    for holder_id, shares in holders.items():
        yield Payout(
            holder_id=holder_id,
            security=class_id,
            amount_exact=render_ratio(price * shares),
            amount_usd=ZERO,
            as_converted=converted,
            cash_usd=ZERO,
            shares=shares,
        )
