"""What a party gives up by an act on an issuer, in dollars, so that it counts toward the limit of one person.

What counts at which value:

- stock: the fair value of a share as converted, what its holder paid for it on average or its preference, whichever is
  most, less the price that is paid for it here;
- a right to stock: that value, less its exercise price; an option that is promised has none yet;
- an instrument whose terms change: its principal and what may still accrue;
- principal that is reversed, that a sale does not pay in cash, or that a note's early repayment keeps from becoming
  stock: its amount;
- preferred stock that its holder converts: its preference, less the value of the common stock;
- preferred stock that it forfeits by an answer that leaves a duty of pay-to-play unpaid: its preference.

What holders without a key lose by an act of their company counts for the company; see `answering`.
A vote as a holder counts as the whole stake in the company (`measure_stake`), because a vote may cost all of it. An
exercise gives nothing to others and does not count.
"""

from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import TypeGuard

from events.issuer import (
    IssuerLiquidityDeclared,
    IssuerOptionCancelled,
    IssuerOptionPromiseWithdrawn,
    IssuerOptionTransferred,
    IssuerProRataAnswered,
    IssuerStockConverted,
    IssuerStockOffered,
    IssuerStockRepurchased,
    IssuerStockTransferred,
    IssuerWarrantTransferred,
)
from events.types import Event
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id
from marketplace.core.money import ZERO, ceil_cents
from marketplace.domain.equity.issuer.as_converted import find_preference
from marketplace.domain.equity.issuer.rights.fair_value import (
    find_class_price,
    find_fair_value,
    find_highest_price,
    find_mean_price,
)
from marketplace.domain.equity.issuer.state import Issuer, list_live_warrants

Given = (
    IssuerStockTransferred
    | IssuerStockOffered
    | IssuerStockConverted
    | IssuerStockRepurchased
    | IssuerWarrantTransferred
    | IssuerOptionTransferred
    | IssuerOptionCancelled
    | IssuerOptionPromiseWithdrawn
)
"""Events by which a holder gives stock, or a right to it, to others."""


def is_given(event: Event, party_id: str, issuer: Issuer) -> TypeGuard[Given]:
    """Return whether an event by which the party's own stock, or right to stock, goes to others counts by itself.

    A repurchase that follows from another event, and a conversion by a round, do not.
    """
    if isinstance(event, IssuerStockRepurchased) and event.cause is not None and not is_id(event.cause, "spl"):
        return False  # what it follows from counts: a reversal, an offer
    if isinstance(event, IssuerStockConverted) and event.reason != "voluntary":
        return False
    if not isinstance(event, Given):
        return False
    return find_giver(event, issuer) == party_id


def find_giver(event: Given, issuer: Issuer) -> str:
    """Return whose stock, or right to stock, goes to others."""
    named = issuer.promised[event.promise_id] if isinstance(event, IssuerOptionPromiseWithdrawn) else event
    return named.holder_id


def list_unpaid_principal(event: IssuerLiquidityDeclared) -> dict[str, Decimal]:
    """Return the USD of each instrument's principal that a sale does not pay in cash; negative if it pays more."""
    left: dict[str, Decimal] = {}
    for instrument in event.waterfall.instruments:
        left[instrument.instrument_id] = left.get(instrument.instrument_id, ZERO) + instrument.principal_usd
    for payout in event.waterfall.payouts:
        if payout.security in left:
            left[payout.security] -= payout.cash_usd
    return left


def find_given(
    event: Given, issuer: Issuer, interested: frozenset[str], on_day: date, *, least: Fraction | None = None
) -> Decimal | None:
    """Return the USD that a party gives up by an event, rounded up to a cent; None if no independent price is known.

    Args:
        event: An event for which `is_given` is true.
        issuer: Whose stock it is, before the event.
        interested: The party, the company and all who are related to them, whose prices alone do not count.
        on_day: The day of the act.
        least: The least USD at which a common share counts; None: there is none.
    """
    fair = find_fair_value(issuer, interested, on_day)
    value = Fraction(fair.price_usd) if fair is not None and fair.is_independent else least
    if least is not None and value is not None:
        value = max(value, least)
    if isinstance(event, IssuerStockConverted):
        preference = find_preference(issuer.classes[event.class_id])
        return ceil_cents(max(preference * event.shares - (value or 0) * event.shares_after, Fraction(0)))
    if value is None:
        return None
    match event:
        case IssuerOptionPromiseWithdrawn():
            return ceil_cents(value * issuer.promises.get(event.promise_id, 0))
        case IssuerStockTransferred():
            paid = Fraction(0)
        case IssuerStockOffered() | IssuerStockRepurchased():
            paid = Fraction(event.price_usd_per_share)
        case IssuerWarrantTransferred():
            tranches = issuer.warrants[event.warrant_id].tranches
            return ceil_cents(
                sum(
                    (max(value - (each.price_usd or 0), Fraction(0)) * each.outstanding for each in tranches),
                    Fraction(0),
                )
            )
        case IssuerOptionTransferred() | IssuerOptionCancelled():
            paid = issuer.options[event.option_id].exercise_price_usd
    if isinstance(event, IssuerStockTransferred | IssuerStockOffered | IssuerStockRepurchased):
        value *= max(Fraction(1), Fraction(issuer.classes[event.class_id].conversion_ratio))
        value = max(value, _find_worth(issuer, event.holder_id, event.class_id, interested, on_day))
    return ceil_cents(max(value - paid, Fraction(0)) * event.shares)


def find_forfeited(event: IssuerProRataAnswered, issuer: Issuer) -> Decimal:
    """Return the USD of preference that a holder loses if it takes no more of a round than it answers, to a cent."""
    financing = issuer.financings[event.financing_id]
    duty = next((each.duty for each in financing.offers if each.holder_id == event.holder_id), None)
    if duty is None:
        return ZERO
    counted = (duty.holder_id, *duty.paid_by)
    paid = sum((each.amount_usd for each in financing.opened.terms.investments if each.holder_id in counted), ZERO)
    unpaid = max(1 - Fraction(paid + event.amount_usd) / Fraction(duty.obligation_usd), Fraction(0))
    shares = issuer.holdings.get((duty.holder_id, duty.class_id), 0)
    return ceil_cents(find_preference(issuer.classes[duty.class_id]) * shares * unpaid)


def refuse_unvalued() -> Refusal:
    """Return the refusal of an act by one person that gives up what `find_given` cannot value."""
    return Refusal(
        "limit_exceeded",
        "no independent price of a share is known, so that what the party gives up counts as more than one person may"
        " let go; let two persons lift the limit of the account first, or let the platform record a valuation",
    )


def measure_stake(issuer: Issuer, party_id: str, interested: frozenset[str], at: datetime) -> Decimal:
    """Return the USD of all that a party has in a company, rounded up to a cent.

    Stock counts at the highest of its mean issue price, its preference and a fair price, if one is known; options and
    warrants at a fair price of a share, less their own; instruments at the principal that is outstanding or may accrue.

    Args:
        issuer: The company.
        party_id: The holder.
        interested: The party, the company and all who are related to them, whose prices alone do not count.
        at: Now. A warrant that has expired counts nothing.
    """
    whole = Fraction(0)
    for (holder_id, class_id), shares in issuer.holdings.items():
        if holder_id == party_id and shares:
            whole += shares * _find_worth(issuer, party_id, class_id, interested, at.date())
    share = find_highest_price(issuer, interested, at.date()) or Fraction(0)
    for option in issuer.options.values():
        if option.holder_id == party_id:
            whole += max(share - option.exercise_price_usd, Fraction(0)) * option.shares_outstanding
    for _, warrant in list_live_warrants(issuer, at):
        if warrant.holder_id == party_id:
            prices = ((each.price_usd or Fraction(0), each.outstanding) for each in warrant.tranches)
            whole += sum((max(share - price, Fraction(0)) * shares for price, shares in prices), Fraction(0))
    for instrument_id, exposures in issuer.exposures.items():
        signed = issuer.instruments.get(instrument_id)
        if signed is not None and signed.holder_id == party_id:
            whole += sum((Fraction(each.amount_usd) for each in exposures), Fraction(0))
    return ceil_cents(whole)


def _find_worth(issuer: Issuer, holder_id: str, class_id: str, interested: frozenset[str], on_day: date) -> Fraction:
    """Return the USD at which a share of a holder counts in its stake."""
    stock_class = issuer.classes[class_id]
    preference = (stock_class.price_usd or Fraction(0)) * Fraction(stock_class.created.liquidation_multiple or 0)
    fair = find_class_price(issuer, class_id, interested, on_day) or Fraction(0)
    return max(find_mean_price(issuer, holder_id, class_id), preference, fair)
