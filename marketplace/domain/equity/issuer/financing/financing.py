"""Priced rounds; `marketplace.domain.equity.issuer.issuer` documents the order of refusals.

Instruments that convert at the round's own price get the new class. Those that convert at another price get a class of
their own for each such price (``series-a-1``, ``series-a-2``, … in the order of the instruments). It has the same rank,
and its preference is what was paid for it: a preference at the round's price would exceed the principal. Prices are
compared as they divide the principal: exactly, or rounded where the round rounds prices before shares. Two exact prices
that differ and print alike, as of stock that was split often, belong to two classes.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from msgspec import structs

from events.financing import Conversion, ConvertingInstrument, RoundPricing, RoundTerms
from events.issuer import (
    IssuerConversionPriceAdjusted,
    IssuerEvent,
    IssuerFinancingAbandoned,
    IssuerFinancingClosed,
    IssuerFinancingOpened,
    IssuerFinancingPriced,
    IssuerStakeholderAdded,
    IssuerStockClassCreated,
    IssuerStockConverted,
    IssuerStockIssued,
    IssuerStockPlanAdjusted,
)
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, is_id
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_aware
from marketplace.core.money import ZERO, parse_ratio, render_ratio, require_price_per_share
from marketplace.domain.equity.instrument.commands import ConvertInstrument
from marketplace.domain.equity.issuer.commands import AbandonFinancing, CloseFinancing, OpenFinancing, PriceFinancing
from marketplace.domain.equity.issuer.financing.pricing import (
    capitalize,
    list_forfeits,
    list_positions,
    order_instruments,
    price_conversion,
    price_instruments,
    require_whole,
)
from marketplace.domain.equity.issuer.financing.pro_rata import (
    PRO_RATA_MAX,
    list_late_offers,
    list_offers,
    require_answered,
)
from marketplace.domain.equity.issuer.rules import (
    get_class,
    get_financing,
    refuse_missing,
    require_days,
    require_fits,
    require_no_financing,
    require_no_sale,
    require_open,
    require_signed,
)
from marketplace.domain.equity.issuer.state import Financing, Issuer, capitalization_of
from marketplace.domain.equity.issuer.stock.stock import is_class_of_round
from marketplace.domain.equity.issuer.terms import DUTIES_MAX, INVESTMENTS_MAX, require_terms, settle_terms
from marketplace.domain.refusals import refuse_exists, refuse_status
from marketplace.equity.model import AFTER_PRICE

CLOSE_AHEAD: Final = timedelta(days=92)
"""How long before its closing date a round with notes may be priced."""
CLOSE_LATE: Final = timedelta(days=14)
"""How long after its closing date a round with notes may be priced or closed."""
CLOSE_EARLY: Final = timedelta(days=31)
"""How long before its closing date such a round may be closed."""
CLOSING_DAYS_MAX: Final = 92
"""The most days for which a round may close after it is priced."""
OPEN_DAYS_MAX: Final = 365
"""The most days for which a round may be priced after it is opened."""
PRICE_WITHIN_DAYS: Final = 7
"""How many days a company has at least to price a round after the time for joining it by right."""
BATCH_MAX: Final = 1_000
PROTECTED_MAX: Final = 50
INSTRUMENTS_MAX: Final = (BATCH_MAX - 2 * (INVESTMENTS_MAX + PRO_RATA_MAX) - DUTIES_MAX - PROTECTED_MAX - 3) // 4
"""The limit that keeps a closing within one atomic batch: per instrument a holder, a class, shares and a conversion."""


def _require_others(state: Issuer, terms: RoundTerms) -> None:
    """Refuse a round in which the company itself invests.

    Raises:
        Refusal: ``company_invests``.
    """
    own = {state.formed.issuer_id, state.formed.party_id}
    for number, each in enumerate(terms.investments):
        if each.holder_id in own:
            raise Refusal(
                "company_invests",
                f"{each.holder_id} is the company that sells the stock, and cannot buy it; name another investor",
                pointer=f"/terms/investments/{number}/holder_id",
            )


def _require_new_classes(state: Issuer, round_class_id: str) -> None:
    """Refuse a round whose class, or one of those for instruments at another price, would have a name that is taken."""
    for class_id in state.classes:
        if is_class_of_round(class_id, round_class_id):
            raise Refusal(
                "stock_class_exists",
                f"{class_id} exists, and a round of {round_class_id} creates that class, also {round_class_id}-1 and so"
                " on for instruments that convert at another price; give the round another class_id",
                pointer="/terms/class_id",
                id=class_id,
            )


def open_financing(command: OpenFinancing, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the opening; nothing if it is recorded."""
    terms = settle_terms(command.terms)
    known = state.financings.get(command.financing_id)
    if known is not None:
        if (known.opened.name, known.opened.terms) == (command.name, terms):
            return []
        raise refuse_exists("financing", command.financing_id)
    require_aware(command.at, "/at")
    if not is_id(command.financing_id):
        raise Refusal(
            "id_malformed",
            f"{command.financing_id!r} is not an id; send three letters, _ and 26 characters",
            pointer="/financing_id",
        )
    require_no_financing(state)
    require_no_sale(state)
    require_terms(terms)
    require_days(command.closing_days, CLOSING_DAYS_MAX, "/closing_days")
    require_days(command.open_days, OPEN_DAYS_MAX, "/open_days")
    _require_new_classes(state, terms.class_id)
    if terms.pay_to_play is not None:
        for class_id in (terms.pay_to_play.class_id_after, *(each.class_id for each in terms.pay_to_play.duties)):
            get_class(state, class_id)
    _require_others(state, terms)
    offers = tuple(list_offers(state, terms, command.at))
    days = state.holder_terms.pro_rata_days if offers else 0
    return [
        IssuerFinancingOpened(
            issuer_id=command.issuer_id,
            financing_id=command.financing_id,
            name=command.name,
            terms=terms,
            pro_rata=offers,
            pro_rata_until=command.at + timedelta(days=days) if offers else None,
            closing_days=command.closing_days,
            open_until=command.at + timedelta(days=max(command.open_days, days + PRICE_WITHIN_DAYS)),
        )
    ]


def price_financing(command: PriceFinancing, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the price of the round; nothing if it is unchanged, with the company, and has not expired."""
    financing = _get_open(state, command.financing_id)
    require_aware(command.at, "/at")
    if not command.again:
        _require_in_time(financing, command.at)
    require_answered(financing, command.at)
    if len(command.instruments) > INSTRUMENTS_MAX:
        raise Refusal(
            "too_many_instruments",
            f"{len(command.instruments)} instruments convert; one closing converts at most {INSTRUMENTS_MAX}",
            pointer="/instruments",
            instruments_max=INSTRUMENTS_MAX,
        )
    require_signed(state, command.instruments)
    instruments = tuple(order_instruments(command.instruments))
    if financing.terms.closing_date is None and any(instrument.accruals for instrument in instruments):
        raise refuse_missing("closing_date", "the day to which notes earn interest", "/terms")
    pricing = _price(state, financing, instruments, command.at)
    _require_near(financing, instruments, command.at, CLOSE_AHEAD)
    if len(pricing.adjustments) > PROTECTED_MAX:
        raise Refusal(
            "too_many_protected_classes",
            f"{len(pricing.adjustments)} classes have price protection; one closing adjusts at most {PROTECTED_MAX}",
            protected_max=PROTECTED_MAX,
        )
    for stock_class in list_new_classes(command.issuer_id, financing.terms, pricing):
        assert stock_class.price_per_share_usd is not None, "what a round sells has a price"
        require_price_per_share(stock_class.price_per_share_usd, "/terms")
    is_same = pricing == financing.pricing and financing.basis == capitalization_of(state)
    late = () if command.again else list_late_offers(financing, state, command.at)
    if is_same and not late and not is_expired(financing, command.at):
        return []
    event = IssuerFinancingPriced(
        issuer_id=command.issuer_id,
        financing_id=command.financing_id,
        pricing=pricing,
        close_until=command.at + timedelta(days=financing.opened.closing_days),
        pro_rata=late,
    )
    require_fits(event)
    return [event]


def find_open_until(financing: Financing) -> datetime | None:
    """Return until when a round may be priced, also with what holders take that were offered a part late."""
    opened = financing.opened.open_until
    late = (each.until + timedelta(days=PRICE_WITHIN_DAYS) for each in financing.offers if each.until is not None)
    return None if opened is None else max((opened, *late))


def _require_in_time(financing: Financing, at: datetime) -> None:
    until = find_open_until(financing)
    if until is not None and at >= until:
        raise Refusal(
            "financing_overdue",
            f"{financing.opened.name} could be priced until {render_instant(until)}; open another round, in which"
            " holders are offered their part of today's company",
            financing_id=financing.opened.financing_id,
            open_until=render_instant(until),
        )


def is_expired(financing: Financing, at: datetime) -> bool:
    """Return whether a round may no longer close at its price at `at`; False without a price."""
    return financing.close_until is not None and at >= financing.close_until


def require_current(state: Issuer, financing_id: str, at: datetime) -> None:
    """Refuse to close a round at a price that is older than its terms allow; one that is unknown or unpriced passes.

    Raises:
        Refusal: ``price_expired``.
    """
    financing = state.financings.get(financing_id)
    if financing is not None and financing.close_until is not None and is_expired(financing, at):
        raise Refusal(
            "price_expired",
            f"financing {financing_id} could close at its price until {render_instant(financing.close_until)}, and it"
            f" is {render_instant(at)}; price it again",
            financing_id=financing_id,
            close_until=render_instant(financing.close_until),
        )


def _require_near(
    financing: Financing, instruments: Iterable[ConvertingInstrument], at: datetime, ahead: timedelta
) -> None:
    """Refuse a closing date too far from now if notes convert, because they earn interest until it.

    `ahead` is how far in the future it may be.
    """
    day = financing.terms.closing_date
    if day is None or not any(instrument.accruals for instrument in instruments):
        return
    if at.date() - day > CLOSE_LATE or day - at.date() > ahead:
        raise Refusal(
            "closing_date_far",
            f"notes earn interest until {day}, and today is {at.date()}; price a round at most {CLOSE_AHEAD.days} days"
            f" before its closing_date, and close it at most {CLOSE_EARLY.days} days before and {CLOSE_LATE.days} days"
            " after; open it again with another",
            pointer="/terms/closing_date",
            closing_date=day.isoformat(),
        )


def _price(
    state: Issuer, financing: Financing, instruments: tuple[ConvertingInstrument, ...], at: datetime
) -> RoundPricing:
    """Price a round. A holder who joins by right is left out if whole shares are too coarse for it.

    Not if those left out take a hundredth of the money or more together: the company, whose shares are too few, splits
    them before a round. Money that is left out meets a duty of pay-to-play all the same.

    Raises:
        Refusal: Those of `list_forfeits`, then those of `price_instruments` and `require_whole`.
    """
    forfeits = list_forfeits(state, financing.terms)
    terms, stated = financing.terms, {each.holder_id for each in financing.opened.terms.investments}
    amounts = {each.holder_id: each.amount_usd for each in terms.investments}
    left_usd = ZERO
    while True:
        try:
            pricing = price_instruments(state, terms, instruments, at, forfeits)
            require_whole(pricing, stated)
        except Refusal as refusal:
            empty = refusal.facts.get("holder_id")
            if refusal.code not in {"allotment_empty", "allotment_coarse"} or empty in stated:
                raise
            left_usd += amounts[str(empty)]
            if 100 * left_usd >= sum(amounts.values()):
                raise
            left = tuple(each for each in terms.investments if each.holder_id != empty)
            terms = structs.replace(terms, investments=left)
        else:
            return pricing


def close_financing(command: CloseFinancing, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the events of a closing: classes, pool, holders and shares of the round, and the closing itself.

    Nothing if it is closed.

    Raises:
        Refusal: ``financing_unknown`` · ``financing_abandoned`` · ``time_naive`` · ``pro_rata_open`` ·
            ``financing_unpriced`` · ``closing_date_far`` · ``financing_stale``.
    """
    known = state.financings.get(command.financing_id)
    if known is not None and known.status == "closed":
        return []
    financing = _get_open(state, command.financing_id)
    require_aware(command.at, "/at")
    require_answered(financing, command.at)
    pricing = _get_current_pricing(command, state, financing)
    classes = list_conversion_classes(financing.terms, pricing)
    return [
        *_convert_forfeits(command, pricing),
        *_adjust_prices(command, pricing),
        *list_new_classes(command.issuer_id, financing.terms, pricing),
        *_adjust_plan(command, state, pricing),
        *_add_stakeholders(command, state, pricing),
        *_issue_conversions(command, financing.terms, pricing, classes),
        *_issue_allotments(command, financing.terms, pricing),
        IssuerFinancingClosed(
            issuer_id=command.issuer_id, financing_id=command.financing_id, approval=command.approval
        ),
    ]


def _get_pricing(financing: Financing) -> RoundPricing:
    if financing.pricing is None:
        financing_id = financing.opened.financing_id
        text = f"financing {financing_id} has no price yet; price it first"
        raise Refusal("financing_unpriced", text, financing_id=financing_id)
    return financing.pricing


def _get_current_pricing(command: CloseFinancing, state: Issuer, financing: Financing) -> RoundPricing:
    pricing = _get_pricing(financing)
    _require_near(financing, pricing.instruments, command.at, CLOSE_EARLY)
    changed = []
    if order_instruments(command.instruments) != order_instruments(pricing.instruments):
        changed.append("instruments")
    if _is_repriced(command, state, financing, pricing):
        changed.append("capitalization")
    if changed:
        raise Refusal(
            "financing_stale",
            f"the {' and the '.join(changed)} changed since {command.financing_id} was priced; price it again",
            financing_id=command.financing_id,
            changed=changed,
        )
    return pricing


def _is_repriced(command: CloseFinancing, state: Issuer, financing: Financing, pricing: RoundPricing) -> bool:
    """Return whether the company changed so that pricing it again would give another result.

    An exercise or a conversion that leaves the fully diluted shares as they are may not change it.
    """
    now = capitalize(state, pricing.forfeits, command.at)
    if render_ratio(now.fully_diluted) != pricing.capitalization_exact:
        return True
    if financing.basis == capitalization_of(state):
        return False
    again = _price(state, financing, pricing.instruments, command.at)
    return structs.replace(again, certificate_json=pricing.certificate_json) != pricing


def list_conversion_classes(terms: RoundTerms, pricing: RoundPricing) -> tuple[str, ...]:
    """Return the class of stock of each conversion, in order; see the module."""
    rounded = terms.share_rounding in AFTER_PRICE
    main = Fraction(pricing.price_usd_per_share) if rounded else parse_ratio(pricing.price_exact)
    by_price: dict[Fraction, str] = {main: terms.class_id}
    classes = []
    for conversion in pricing.conversions:
        price = get_conversion_price(conversion)
        classes.append(by_price.setdefault(price, f"{terms.class_id}-{len(by_price)}"))
    return tuple(classes)


def get_conversion_price(conversion: Conversion) -> Fraction:
    """Return the USD per share of a conversion: the rounded price if the round rounds prices before shares."""
    if conversion.price_rounded_usd is not None:
        return Fraction(conversion.price_rounded_usd)
    return parse_ratio(conversion.price_usd_per_share)


def require_unclosed(state: Issuer, financing_id: str) -> None:
    """Refuse to close a round that is closed.

    Raises:
        Refusal: ``financing_closed``.
    """
    known = state.financings.get(financing_id)
    if known is not None and known.status == "closed":
        raise refuse_status("financing", financing_id, "closed", "open")


def list_conversions(state: Issuer, financing_id: str) -> tuple[ConvertInstrument, ...]:
    """Return the commands that convert a priced round's instruments, for the batch that closes it.

    Raises:
        Refusal: ``financing_unknown`` or ``financing_unpriced``.
    """
    financing = get_financing(state, financing_id)
    pricing = _get_pricing(financing)
    classes = list_conversion_classes(financing.terms, pricing)
    positions = list_positions(pricing.instruments)
    return tuple(
        ConvertInstrument(
            instrument_id=conversion.instrument_id,
            cause=financing_id,
            principal_usd=instrument.principal_usd,
            amount_exact=parse_ratio(conversion.amount_exact),
            branch=conversion.branch,
            price=get_conversion_price(conversion),
            class_id=class_id,
            shares_exact=parse_ratio(conversion.shares_exact),
            shares=conversion.shares,
            position=position,
            interest_until=financing.terms.closing_date if instrument.accruals else None,
        )
        for conversion, instrument, class_id, position in zip(
            pricing.conversions, pricing.instruments, classes, positions, strict=True
        )
    )


def _convert_forfeits(command: CloseFinancing, pricing: RoundPricing) -> Iterable[IssuerStockConverted]:
    for forfeit in pricing.forfeits:
        yield IssuerStockConverted(
            issuer_id=command.issuer_id,
            conversion_id=derive_id("cnv", command.financing_id, f"{forfeit.holder_id}/{forfeit.class_id}"),
            holder_id=forfeit.holder_id,
            class_id=forfeit.class_id,
            shares=forfeit.shares,
            class_id_after=forfeit.class_id_after,
            shares_exact=forfeit.shares_exact,
            shares_after=forfeit.shares_after,
            reason="pay_to_play",
            cause=command.financing_id,
        )


def _adjust_prices(command: CloseFinancing, pricing: RoundPricing) -> Iterable[IssuerConversionPriceAdjusted]:
    for adjustment in pricing.adjustments:
        if adjustment.triggered:
            yield IssuerConversionPriceAdjusted(
                issuer_id=command.issuer_id,
                class_id=adjustment.class_id,
                conversion_price_usd_before=adjustment.conversion_price_usd_before,
                conversion_price_usd=adjustment.conversion_price_usd,
                cause=command.financing_id,
            )


def list_new_classes(issuer_id: str, terms: RoundTerms, pricing: RoundPricing) -> list[IssuerStockClassCreated]:
    """Return the classes that closing a priced round creates. A conversion into no whole share gets an empty class."""
    shares = {terms.class_id: sum(allotment.shares for allotment in pricing.allotments)}
    prices = {terms.class_id: pricing.price_usd_per_share}
    for conversion, class_id in zip(pricing.conversions, list_conversion_classes(terms, pricing), strict=True):
        shares[class_id] = shares.get(class_id, 0) + conversion.shares
        prices.setdefault(class_id, price_conversion(conversion, terms))
    return [
        IssuerStockClassCreated(
            issuer_id=issuer_id,
            class_id=class_id,
            kind="preferred",
            shares_authorised=authorised,
            price_per_share_usd=prices[class_id],
            liquidation_multiple=terms.liquidation_multiple,
            seniority=terms.seniority,
            participation=terms.participation,
            participation_cap_multiple=terms.participation_cap_multiple,
            price_protection=terms.price_protection,
            protection_basis=terms.protection_basis,
        )
        for class_id, authorised in shares.items()
    ]


def _adjust_plan(command: CloseFinancing, state: Issuer, pricing: RoundPricing) -> Iterable[IssuerStockPlanAdjusted]:
    if pricing.pool_increase_shares:
        yield IssuerStockPlanAdjusted(
            issuer_id=command.issuer_id,
            shares_reserved=state.shares_reserved + pricing.pool_increase_shares,
            cause=command.financing_id,
            approval=command.approval,
        )


def _add_stakeholders(
    command: CloseFinancing, state: Issuer, pricing: RoundPricing
) -> Iterable[IssuerStakeholderAdded]:
    named = {stakeholder.holder_id: stakeholder for stakeholder in command.stakeholders}
    holders = [conversion.holder_id for conversion in pricing.conversions]
    holders += [allotment.holder_id for allotment in pricing.allotments]
    for holder_id in dict.fromkeys(holders):
        if holder_id not in state.stakeholders:
            stakeholder = named.get(holder_id)
            yield IssuerStakeholderAdded(
                issuer_id=command.issuer_id,
                holder_id=holder_id,
                name=stakeholder.name if stakeholder else holder_id,
                kind=stakeholder.kind if stakeholder else "investor",
            )


def _issue_conversions(
    command: CloseFinancing, terms: RoundTerms, pricing: RoundPricing, classes: tuple[str, ...]
) -> Iterable[IssuerStockIssued]:
    positions = list_positions(pricing.instruments)
    for conversion, class_id, position in zip(pricing.conversions, classes, positions, strict=True):
        if conversion.shares:
            price = pricing.price_usd_per_share if class_id == terms.class_id else price_conversion(conversion, terms)
            yield _issue(
                command,
                derive_id("sec", command.financing_id, f"{conversion.instrument_id}/{position}"),
                holder_id=conversion.holder_id,
                class_id=class_id,
                shares=conversion.shares,
                price=price,
            )


def _issue_allotments(command: CloseFinancing, terms: RoundTerms, pricing: RoundPricing) -> Iterable[IssuerStockIssued]:
    for allotment in pricing.allotments:
        yield _issue(
            command,
            name_allotment(command.financing_id, allotment.holder_id),
            holder_id=allotment.holder_id,
            class_id=terms.class_id,
            shares=allotment.shares,
            price=pricing.price_usd_per_share,
        )


def name_allotment(financing_id: str, holder_id: str) -> str:
    """Return the security that an investor of a round gets."""
    return derive_id("sec", financing_id, holder_id)


def _issue(
    command: CloseFinancing, security_id: str, *, holder_id: str, class_id: str, shares: int, price: Decimal
) -> IssuerStockIssued:
    return IssuerStockIssued(
        issuer_id=command.issuer_id,
        security_id=security_id,
        holder_id=holder_id,
        class_id=class_id,
        shares=shares,
        price_usd_per_share=price,
        cause=command.financing_id,
        approval=command.approval,
    )


def abandon_financing(command: AbandonFinancing, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the end of the round; nothing if it was abandoned."""
    known = state.financings.get(command.financing_id)
    if known is not None and known.status == "abandoned":
        return []
    financing = _get_open(state, command.financing_id)
    if command.overdue_at is not None:
        _require_overdue(financing, command.overdue_at)
    return [
        IssuerFinancingAbandoned(issuer_id=command.issuer_id, financing_id=command.financing_id, reason=command.reason)
    ]


def _require_overdue(financing: Financing, at: datetime) -> None:
    """Refuse to end a round that may still be priced, or that may close at the price that it has."""
    until = find_open_until(financing)
    due = None if until is None else max(until, financing.close_until or until)
    if due is None or at < due:
        raise Refusal(
            "financing_not_due",
            f"{financing.opened.name} may still be priced, or close at its price",
            financing_id=financing.opened.financing_id,
            due=None if due is None else render_instant(due),
        )


def _get_open(state: Issuer, financing_id: str) -> Financing:
    financing = get_financing(state, financing_id)
    require_open(financing)
    return financing
