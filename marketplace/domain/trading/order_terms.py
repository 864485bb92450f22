"""An order's terms: which may be placed, what they cost at most, and when they end.

`marketplace.domain.trading.order` documents the order of refusals. Beside them: value_too_precise at a mandate's
credit, and class_not_offered.
"""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Final, NamedTuple

from events.order import ClassOffer, OrderTerms
from events.schedule import PlatformFee
from marketplace.clearing.book_rules import AMOUNT_MAX
from marketplace.core.errors import Refusal
from marketplace.core.horizon import Horizon
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_aware
from marketplace.core.money import PRICE_PLACES, ZERO, ceil_cents, ceil_cost, require_price, require_share, require_usd
from marketplace.domain.equity.instrument.terms import require_drawdown
from marketplace.domain.refusals import require_all, require_bounds
from marketplace.domain.supply.stages import count_hours_held, require_stages

MANDATES_MAX, OFFERS_MAX = 4, 16
SIZES_MAX = 32
CENT = Fraction(1, 100)
NOTE_TAIL = timedelta(days=90)
"""Notes and warrants must outlive their run by this long, because disputed statements may still accrue."""
PRINCIPAL_USD_MAX = AMOUNT_MAX
"""The most principal that the engine can count. A limit on principal must be lower, so that a larger principal never
fits it."""
PRINCIPAL_PRICE_USD_MAX = Decimal(25)
"""The most principal per GPU-hour, about twice the dearest public price of one. Compute at a price that nobody pays in
money would buy any part of a company, and any vote."""
DAY: Final = timedelta(days=1)
NEAR_HOURS: Final = 96
"""Hours of the horizon that hourly auctions sell."""
SHORT_DAYS: Final = 182
"""Days of the horizon that daily auctions sell. What fits it takes no part in an auction of longer periods."""
LONG_PERIOD_HOURS: Final = 120
"""Hours of a period of the auctions that sell longer runs."""
DURATIONS: Final = ((LONG_PERIOD_HOURS, SHORT_DAYS * 24), (24, NEAR_HOURS))
"""What a run is a multiple of, in hours, and above how many hours; the longest first."""
Window = tuple[int, int, int]
"""An order's duration, and its earliest and latest start, in periods of an auction."""


class Cost(NamedTuple):
    """What terms cost at most, in whole cents: the cash that a match needs, and the principal. See `price_terms`."""

    cash_usd: Decimal
    principal_usd: Decimal


def price_terms(terms: OrderTerms, at: datetime, fee: PlatformFee | None = None) -> Cost:
    """Check terms, and return what they cost at most.

    The cash includes the startup's part of the platform's fee, and is reduced by credit. Of a staged order it is what
    the match sets aside.

    Args:
        terms: The order's terms.
        at: Now.
        fee: The platform's fee; None: none.

    Raises:
        Refusal: As `require_terms`.
    """
    require_terms(terms, at)
    cash_usd = compute_cash_hold(terms)
    share = ZERO if fee is None else fee.startup_share
    needed_usd = cash_usd + ceil_cents(Fraction(cash_usd) * Fraction(share)) if share else cash_usd
    return Cost(max(needed_usd - compute_credit(terms), ZERO), compute_principal_max(terms))


def require_terms(terms: OrderTerms, at: datetime) -> None:
    """Refuse terms that no market could serve; the module lists the order."""
    if not 1 <= len(terms.offers) <= OFFERS_MAX:
        raise Refusal(
            "offers_missing", f"state between 1 and {OFFERS_MAX} offers, one per GPU class", pointer="/terms/offers"
        )
    require_all(
        *(partial(_require_offer, offer, index, terms) for index, offer in enumerate(terms.offers)),
        partial(_require_window, terms, at),
        partial(_require_duration, terms.duration_hours),
        partial(_require_wishes, terms),
    )
    require_all(partial(_require_equity, terms), partial(_require_expiry, terms, at), partial(_require_stages, terms))
    require_bounds(terms)


def _require_window(terms: OrderTerms, at: datetime) -> None:
    for instant, name in ((terms.start_earliest, "start_earliest"), (terms.start_latest, "start_latest")):
        require_aware(instant, f"/terms/{name}")
    if terms.start_latest < terms.start_earliest:
        raise Refusal(
            "window_reversed",
            f"the latest start {render_instant(terms.start_latest)} is before the earliest,"
            f" {render_instant(terms.start_earliest)}; swap them",
            pointer="/terms/start_latest",
        )
    if terms.start_latest <= at:
        raise Refusal(
            "window_past",
            f"the latest start {render_instant(terms.start_latest)} has passed; it is {render_instant(at)}",
            pointer="/terms/start_latest",
        )


def _require_duration(hours: int) -> None:
    """Refuse a run that no auction of the calendar sells: its periods make up no such length."""
    step, shortest = next((rule for rule in DURATIONS if hours > rule[1]), (1, 1))
    if hours % step:
        shorter = max(hours - hours % step, shortest)
        longer = hours - hours % step + step
        raise Refusal(
            "duration_unsold",
            f"no auction sells a run of {hours} hours; let it last {shorter} or {longer}. Above {NEAR_HOURS} hours a"
            f" run lasts whole days, and above {SHORT_DAYS} days a multiple of {LONG_PERIOD_HOURS} hours",
            pointer="/terms/duration_hours",
            shorter_hours=shorter,
            longer_hours=longer,
        )


def _require_expiry(terms: OrderTerms, at: datetime) -> None:
    if terms.expires_at is None:
        return
    require_aware(terms.expires_at, "/terms/expires_at")
    if terms.expires_at <= at:
        raise Refusal(
            "expiry_past",
            f"the order would expire at {render_instant(terms.expires_at)}, which has passed; choose a later time",
            pointer="/terms/expires_at",
        )


def _require_stages(terms: OrderTerms) -> None:
    if terms.stages is not None:
        require_stages(terms.stages, "/terms/stages")
    if terms.credit is not None:
        require_usd(terms.credit.amount_usd, "/terms/credit/amount_usd")
        if terms.stages is None:
            text = "an order on credit sets its cash aside in stages; state them, or leave the credit out"
            raise Refusal("stages_missing", text, pointer="/terms/stages")


def _require_offer(offer: ClassOffer, index: int, terms: OrderTerms) -> None:
    pointer = f"/terms/offers/{index}"
    if any(other.gpu_class == offer.gpu_class for other in terms.offers[:index]):
        raise Refusal("class_repeated", f"{offer.gpu_class} has two offers; keep one", pointer=f"{pointer}/gpu_class")
    require_price(offer.cash_usd_per_gpu_hour, f"{pointer}/cash_usd_per_gpu_hour", zero=True)
    require_price(offer.equity_usd_per_gpu_hour, f"{pointer}/equity_usd_per_gpu_hour", zero=True)
    if offer.equity_usd_per_gpu_hour > PRINCIPAL_PRICE_USD_MAX:
        raise Refusal(
            "amount_too_large",
            f"{offer.equity_usd_per_gpu_hour} dollars of a GPU-hour of {offer.gpu_class} would be principal; the most"
            f" is {PRINCIPAL_PRICE_USD_MAX}, pay the rest in cash",
            pointer=f"{pointer}/equity_usd_per_gpu_hour",
            value=str(offer.equity_usd_per_gpu_hour),
            maximum=str(PRINCIPAL_PRICE_USD_MAX),
        )
    if not offer.cash_usd_per_gpu_hour and not offer.equity_usd_per_gpu_hour:
        raise Refusal("offer_empty", f"the offer for {offer.gpu_class} is empty; offer cash or equity", pointer=pointer)


def _require_equity(terms: OrderTerms) -> None:
    if not any(offer.equity_usd_per_gpu_hour for offer in terms.offers):
        if terms.instrument is not None or terms.mandate_ids:
            raise Refusal(
                "instrument_unneeded", "no equity is offered; leave out the instrument", pointer="/terms/instrument"
            )
        return
    if terms.instrument is None:
        raise Refusal(
            "instrument_missing", "equity is offered; state the instrument's terms", pointer="/terms/instrument"
        )
    if not terms.mandate_ids:
        raise Refusal(
            "mandates_missing", "equity is offered; name the mandates that may take it", pointer="/terms/mandate_ids"
        )
    if len(set(terms.mandate_ids)) != len(terms.mandate_ids) or len(terms.mandate_ids) > MANDATES_MAX:
        raise Refusal(
            "mandates_too_many", f"name at most {MANDATES_MAX} mandates, each once", pointer="/terms/mandate_ids"
        )
    latest = terms.start_latest + timedelta(hours=terms.duration_hours) + NOTE_TAIL
    require_drawdown(terms.instrument, compute_principal_max(terms), latest, "/terms/instrument")


def _require_wishes(terms: OrderTerms) -> None:
    """Refuse an impossible range or site requirement; the module lists the order."""
    least = terms.nodes if terms.nodes_min is None else terms.nodes_min
    if least > terms.nodes:
        raise Refusal(
            "range_empty",
            f"the order has at least {least} and at most {terms.nodes} nodes; let nodes_min be at most nodes",
            pointer="/terms/nodes_min",
        )
    if terms.notice_hours_max is not None and terms.notice_hours_max < terms.notice_hours_min:
        raise Refusal(
            "range_empty",
            f"the order asks for {terms.notice_hours_min} hours of notice and accepts {terms.notice_hours_max}; let"
            " notice_hours_max be at least notice_hours_min",
            pointer="/terms/notice_hours_max",
        )
    if (terms.nodes - least) // max(terms.nodes_step, 1) >= SIZES_MAX:
        raise Refusal(
            "sizes_too_many",
            f"from {least} to {terms.nodes} nodes in steps of {terms.nodes_step} are more than {SIZES_MAX} sizes; state"
            " a coarser nodes_step",
            pointer="/terms/nodes_step",
        )
    pue = terms.power_usage_effectiveness_max
    if pue is not None and (not pue.is_finite() or pue < 1):
        raise Refusal(
            "pue_out_of_range",
            f"the maximum power usage effectiveness is {pue}; no site is below 1",
            pointer="/terms/power_usage_effectiveness_max",
        )
    for share, name in (
        (terms.provider_reliability_min, "provider_reliability_min"),
        (terms.availability_min, "availability_min"),
        (terms.renewable_share_min, "renewable_share_min"),
    ):
        if share is not None:
            require_share(share, f"/terms/{name}")
    if terms.principal_usd_max is not None:
        require_usd(terms.principal_usd_max, "/terms/principal_usd_max")
        if terms.principal_usd_max >= PRINCIPAL_USD_MAX:
            raise Refusal(
                "amount_too_large",
                f"a principal limit of {terms.principal_usd_max} is too high; state less than {PRINCIPAL_USD_MAX}, or"
                " none",
                pointer="/terms/principal_usd_max",
            )
    _require_backstop(terms)


def _require_backstop(terms: OrderTerms) -> None:
    if not terms.backstop:
        return
    for value, name in ((terms.group, "group"), (terms.parent_order_id, "parent_order_id")):
        if value is not None:
            raise Refusal(
                "backstop_linked",
                "a backstop order takes what other orders leave, and cannot be linked to one; leave out its link",
                pointer=f"/terms/{name}",
            )
    if any(offer.equity_usd_per_gpu_hour for offer in terms.offers):
        raise Refusal(
            "backstop_equity", "a backstop order pays its price in cash; offer no equity", pointer="/terms/offers"
        )


def list_sizes(terms: OrderTerms) -> list[int]:
    """Return the sizes that an order accepts, smallest first; `nodes` is always one of them."""
    least = terms.nodes if terms.nodes_min is None else terms.nodes_min
    return sorted({*range(least, terms.nodes, terms.nodes_step), terms.nodes})


def find_end(terms: OrderTerms) -> datetime:
    """Return when an order of these terms expires: at its stated expiry, or at its latest start if that is earlier."""
    return min(terms.expires_at or terms.start_latest, terms.start_latest)


def find_window(terms: OrderTerms, horizon: Horizon) -> Window | None:
    """Return when an order may run, in periods of an auction; None if it does not take part.

    It takes part if whole periods make up its duration, and the horizon contains a whole run that starts in its window.
    An auction whose periods are longer than a day takes only what does not fit the first `SHORT_DAYS` days of its
    horizon, which daily auctions sell.
    """
    duration = timedelta(hours=terms.duration_hours)
    if duration % horizon.period:
        return None
    if horizon.period > DAY and find_window(terms, Horizon(horizon.start, DAY, SHORT_DAYS)) is not None:
        return None
    length = duration // horizon.period
    earliest = max(horizon.ceil(terms.start_earliest), 0)
    latest = min(horizon.floor(terms.start_latest), horizon.periods - length)
    return (length, earliest, latest) if earliest <= latest else None


def limit_principal(asked: Iterable[tuple[str, OrderTerms]]) -> list[tuple[str, Decimal]]:
    """Return id and limit on principal, in USD, of each startup that states one; the lowest if it states several."""
    most: dict[str, Decimal] = {}
    for startup_id, terms in asked:
        if terms.principal_usd_max is not None:
            most[startup_id] = min(terms.principal_usd_max, most.get(startup_id, terms.principal_usd_max))
    return sorted(most.items())


def name_group(startup_id: str, terms: OrderTerms) -> str | None:
    """Return a key that distinguishes an order's group from other startups' groups; None without a group."""
    return None if terms.group is None else f"{startup_id}/{terms.group}"


def get_offer(terms: OrderTerms, gpu_class: str) -> ClassOffer:
    """Return an order's offer for a class.

    Raises:
        Refusal: ``class_not_offered``.
    """
    for offer in terms.offers:
        if offer.gpu_class == gpu_class:
            return offer
    raise Refusal("class_not_offered", f"the order has no offer for {gpu_class}", gpu_class=gpu_class)


def compute_gpu_hours(terms: OrderTerms) -> int:
    """Return the GPU-hours of an order at its largest size."""
    return terms.nodes * terms.gpus_per_node * terms.duration_hours


def compute_cash_hold(terms: OrderTerms, *, is_whole: bool = False) -> Decimal:
    """Return the dollars that cover any of the offers, rounded up to a cent, without fee and credit.

    They cover the whole run. Of a staged order they cover only the hours that its match sets aside, unless `is_whole`.
    """
    hours = compute_gpu_hours(terms)
    if terms.stages is not None and not is_whole:
        hours = terms.nodes * terms.gpus_per_node * count_hours_held(terms.stages, terms.duration_hours)
    return max([ceil_cost(offer.cash_usd_per_gpu_hour, hours) for offer in terms.offers])


def compute_credit(terms: OrderTerms) -> Decimal:
    """Return the dollars that an order takes of its provider's credit: no more than its whole run costs."""
    return ZERO if terms.credit is None else min(terms.credit.amount_usd, compute_cash_hold(terms, is_whole=True))


def compute_budget_hold(terms: OrderTerms, equity_credit: Decimal) -> Decimal:
    """Return the dollars of a mandate that cover the equity part of any of the offers, rounded up to a cent.

    Args:
        terms: The order's terms.
        equity_credit: Dollars that the mandate pays per dollar of principal.

    Raises:
        Refusal: ``value_too_precise``.
    """
    _require_value(terms, equity_credit)
    hours = compute_gpu_hours(terms)
    needs = [
        ceil_cents(Fraction(offer.equity_usd_per_gpu_hour) * Fraction(equity_credit) * hours)
        for offer in terms.offers
        if offer.equity_usd_per_gpu_hour
    ]
    return max(needs, default=ZERO)


def compute_principal_max(terms: OrderTerms) -> Decimal:
    """Return the principal in USD that the most expensive offer would owe for the whole run, rounded up to a cent."""
    hours = compute_gpu_hours(terms)
    return max([ceil_cost(offer.equity_usd_per_gpu_hour, hours) for offer in terms.offers])


def compute_value(offer: ClassOffer, equity_credit: Decimal) -> Decimal:
    """Return the value of an offer, cash + h · equity, in USD per GPU-hour; h is `equity_credit`."""
    return offer.cash_usd_per_gpu_hour + equity_credit * offer.equity_usd_per_gpu_hour


def split_price(price: Fraction, offer: ClassOffer, equity_credit: Decimal) -> tuple[Fraction, Fraction]:
    """Return which part of a price per GPU-hour an offer pays in cash, and which it owes as principal.

    They stand in the proportion of the offer, with the cash rounded to a cent, or to a hundredth of the price's power
    of ten below a dollar: from exact proportions those who see a grant would find the sealed offer, whose amounts are
    round. Neither part exceeds the offer's own. Only a price so near to the offer's value that no rounded cash leaves
    room for that is split exactly.
    """
    cash, equity = Fraction(offer.cash_usd_per_gpu_hour), Fraction(offer.equity_usd_per_gpu_hour)
    value, credit = Fraction(compute_value(offer, equity_credit)), Fraction(equity_credit)
    exact, owed = cash / value, equity / value
    if not (price and cash and equity and credit):
        return exact, owed
    step = min(CENT, Fraction(10) ** (math.floor(math.log10(price)) - 2))
    rate = round(exact * price / step) * step
    for rounded in (rate, rate - step, rate + step):
        principal = (price - rounded) / credit
        if 0 < rounded <= cash and 0 < principal <= equity:
            return rounded / price, principal / price
    return exact, owed


def compute_value_max(terms: OrderTerms, equity_credits: Iterable[Decimal]) -> Decimal:
    """Return an order's highest possible value in USD: its best offer at the best credit, over all GPU-hours."""
    credit = max(equity_credits, default=ZERO)
    return max(compute_value(offer, credit) for offer in terms.offers) * compute_gpu_hours(terms)


def _require_value(terms: OrderTerms, equity_credit: Decimal) -> None:
    for index, offer in enumerate(terms.offers):
        value = compute_value(offer, equity_credit)
        if value != round(value, PRICE_PLACES):
            raise Refusal(
                "value_too_precise",
                f"the offer has a value of {value} at a mandate's credit of {equity_credit}, which has more than"
                f" {PRICE_PLACES} decimal places; offer a rounder amount",
                pointer=f"/terms/offers/{index}",
                value=str(value),
            )
