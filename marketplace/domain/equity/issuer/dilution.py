"""An issuer's own limit on dilution by instruments.

`marketplace.domain.equity.issuer.issuer` documents the order of refusals.

The limit counts all instruments together, converted or not: shares that SAFEs and notes became, warrants and the shares
bought with them, and what outstanding principal, undrawn commitments and orders that offer equity would become. The
total is a share of the fully diluted company that includes all of these.

Principal that is not converted counts at the lowest price that it has a right to. Its cap gives one price. If the limit
states a company value, that value less the discount gives another; the lower one counts. A post-money cap values the
company including all conversions; any other price values it before them. Notes count with interest to maturity.

Shares are counted as converted into common stock: a series with price protection, or a right to it, counts for more. At
a company of F fully diluted shares, with post-money parts that sum to Q and other principal over its value that sums to
A, the whole is T = F · (1 + A) / (1 - Q), and instruments are (converted + warrants + A · F + Q · T) / T.

An open or bound order counts with the largest principal that it may bring. It counts from its placing on, even before
there is a limit. No limit may be set below what such orders promise, and no later act may use their room.

Invariant: no act of the issuer raises that share above the limit. What a holder has a right to (an election, a split)
is counted but not refused.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from immutables import Map

from events.issuer import (
    IssuerDilutionLimited,
    IssuerEvent,
    IssuerExposureRecorded,
    IssuerStockTransferred,
)
from events.issuer_dilution import Exposure
from events.types import NoteTerms, PricedTerms, PrincipalTerms, SafeTerms, WarrantTerms
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id
from marketplace.core.money import ZERO, ceil_cents, parse_ratio, render_ratio, require_share, require_usd, round_ratio
from marketplace.core.rounding import round_half_even
from marketplace.domain.equity.instrument.state import compute_balance
from marketplace.domain.equity.issuer.as_converted import convert_row, convert_shares, find_preference, measure_company
from marketplace.domain.equity.issuer.commands import IssuerCommand, LimitDilution, RecordExposure, SignInstrument
from marketplace.domain.equity.issuer.own_acts import is_own_act
from marketplace.domain.equity.issuer.rights_commands import IssueWarrant
from marketplace.domain.equity.issuer.rules import (
    SHARES_MAX,
    get_class,
    is_main_class,
    refuse_missing,
    require_no_sale,
    require_stakeholder,
)
from marketplace.domain.equity.issuer.state import Issuer, follow_stock, list_holders, list_parties, list_rows
from marketplace.domain.equity.issuer.stock_commands import IssueStock, SplitStock

_ORDER = "ord_"
REFUSED_OFFERS: Final = frozenset(
    {
        "cap_below_holders",
        "dilution_exceeded",
        "dilution_unagreed",
        "missing_convention",
        "price_below_preference",
        "sale_declared",
        "stack_exceeds_company",
        "terms_unagreed",
    }
)
"""The codes with which an issuer refuses an order's equity part: when it is placed, and again at the lock."""
DISCOUNT_MAX: Final = Decimal("0.3")
"""The greatest discount of a SAFE or note for compute, where others hold securities of the company."""
RATE_MAX: Final = Decimal("0.2")
"""The greatest interest per year of such a note."""
SHOWN_PLACES = 9
SHOWN_SHARE_PLACES = 2


class Dilution(NamedTuple):
    """What instruments amount to. Shares are common stock as converted, exact.

    Attributes:
        converted: Shares that instruments became, and that warrants bought.
        warrants: Shares that warrants may still buy.
        pending: Shares that everything not converted would become.
        whole: Fully diluted shares including these.
        part: Their share of the whole, exact.
    """

    converted: Fraction
    warrants: Fraction
    pending: Fraction
    whole: Fraction
    part: Fraction


def limit_dilution(command: LimitDilution, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the limit; nothing if it is recorded, and was agreed on with every party that holds something."""
    event = IssuerDilutionLimited(
        issuer_id=command.issuer_id,
        dilution_max=command.dilution_max,
        valuation_usd=command.valuation_usd,
        instruments=command.instruments,
    )
    if command.dilution_max is None and state.limit is None:
        return []
    if event == state.limit and list_parties(state) <= state.limited and not list_senior(state):
        return []
    if command.dilution_max is not None:
        require_share(command.dilution_max, "/dilution_max")
    if command.valuation_usd is not None:
        require_usd(command.valuation_usd, "/valuation_usd")
    after = set_limit(state, event)
    if after.limit is not None:
        _require_within(after, measure_dilution(after), "/dilution_max")
    return [event]


def record_exposure(command: RecordExposure, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the exposure of an order or instrument; nothing if it is recorded so, or an instrument's issuer has ended.

    What an auction binds is recorded again.

    Raises:
        Refusal: ``stock_class_unknown``, unless the issuer has ended. For an order, ``sale_declared``, those of
            `require_agreed`, and ``dilution_unagreed`` if it is large · ``stack_exceeds_company``, unless the exposure
            is owed or the issuer has ended.
    """
    subject_id, exposures = command.subject_id, command.exposures
    for each in () if state.is_ended else exposures:
        require_class(state, each.terms)
    refusal = None if command.owed or state.is_ended else _refuse_stack(state, subject_id, exposures)
    passed_to = _find_new_holder(command, state)
    changes = state.exposures.get(subject_id, ()) != exposures or passed_to is not None
    if subject_id.startswith(_ORDER):
        require_agreed(state, exposures, command.offered_to, command.split_ratio)
        _require_small(state, exposures, command.outweighed)
    is_offer = subject_id.startswith(_ORDER) and bool(exposures)
    if is_offer and (changes or command.binds) and state.liquidity_id is not None:
        require_no_sale(state)
    if (refusal is None and not changes and not command.binds) or (state.is_ended and not is_offer):
        return []
    if refusal is not None:
        raise refusal
    return [
        IssuerExposureRecorded(
            issuer_id=command.issuer_id, subject_id=subject_id, exposures=exposures, holder_id=passed_to
        )
    ]


def _find_new_holder(command: RecordExposure, state: Issuer) -> str | None:
    """Return the stakeholder to which an instrument passed; None if its holder is the known one.

    Raises:
        Refusal: ``sale_declared`` · ``stakeholder_unknown``.
    """
    signed = state.instruments.get(command.subject_id)
    if signed is None or command.holder_id in {None, signed.holder_id}:
        return None
    require_no_sale(state)
    require_stakeholder(state, command.holder_id or "", "/holder_id_after")
    return command.holder_id


def require_agreed(
    state: Issuer, exposures: Iterable[Exposure], takers: Iterable[frozenset[str]], split_ratio: str | None = None
) -> None:
    """Refuse an instrument for compute that dilutes other holders more than they agreed to.

    If there are other holders, stock and warrants need a dilution limit that was agreed on when all of them held
    something, and when a class existed that ranks before preferred stock of theirs. They need a price of at least the
    preference of their class; of stock that participates, with what others paid for the common stock that it converts
    into. So does a note that becomes another class at its maturity than the largest one of common stock. A SAFE or note
    takes at most `DISCOUNT_MAX` and `RATE_MAX` beside its cap, and its principal in a sale. Whatever values the company
    below a cap or price of another holder needs a limit that its takers did not decide alone.

    Args:
        state: The issuer.
        exposures: What may become equity.
        takers: The holders that may take it, each with the parties related to it.
        split_ratio: The split factor when a price per share was agreed; None: now.

    Raises:
        Refusal: ``dilution_unagreed`` · ``price_below_preference`` · ``terms_unagreed`` · ``cap_below_holders``.
    """
    offered = [exposure.terms for exposure in exposures]
    nobody_holds = not state.instruments and not state.securities and not state.warrants and not state.options
    if not offered or nobody_holds or state.is_ended:
        return
    holders = list_parties(state)
    apart = [(group, holders - group) for group in takers]
    others = sorted(frozenset[str]().union(*(each for _, each in apart)))
    if not others:
        return
    since = _measure_split(state, split_ratio)
    chosen = [each for each in offered if isinstance(each, PricedTerms) or chooses_class(each, state)]
    if chosen:
        _require_class_terms(state, chosen, others, since)
    _require_usual(state, offered, others)
    values = [value for each in offered if (value := _find_value(state, each, since)) is not None]
    for group, beside in apart if values else ():
        _require_value(state, min(values), group, beside)


def _require_small(state: Issuer, exposures: Sequence[Exposure], outweighed: frozenset[str]) -> None:
    """Refuse a SAFE or note that is large to an investor which has not agreed to a dilution limit."""
    unasked = sorted(outweighed if state.limit is None else outweighed - state.limited)
    if unasked and exposures and not state.is_ended:
        raise Refusal(
            "dilution_unagreed",
            "with what its taker has and what open orders offer, this principal is more than a tenth of what"
            f" {state.formed.issuer_id} is worth, and {', '.join(unasked[:5])} bear more than a tenth of what was"
            " invested; agree with them on a dilution limit first, or offer less",
            holders=unasked,
        )


def _require_class_terms(
    state: Issuer, chosen: Iterable[PrincipalTerms], others: Sequence[str], since: Fraction
) -> None:
    """Refuse what becomes a stated class without a limit agreed on with all others, or below its preference."""
    unasked = sorted({*others} if state.limit is None else {*others} - state.limited)
    if unasked:
        raise Refusal(
            "dilution_unagreed",
            f"{', '.join(unasked[:5])} hold securities of {state.formed.issuer_id}, and stock or a warrant for compute"
            " dilutes them, or a note that becomes such a class; agree with them on a dilution limit first, within"
            " which it may be offered. One that was agreed on before they held something counts once it is agreed on"
            " again",
            holders=unasked,
        )
    for terms in chosen:
        class_id, price = _find_offered_price(terms, state, since)
        outranked = sorted(list_senior(state).get(class_id, frozenset()).intersection(others))
        if outranked:
            raise Refusal(
                "dilution_unagreed",
                f"{class_id} ranks before preferred stock of {', '.join(outranked[:5])}, and was created after the"
                " dilution limit was agreed on; agree with them on the limit again, or offer another class",
                holders=outranked,
            )
        least = _find_least_price(state, class_id, frozenset(others))
        if price < least:
            raise Refusal(
                "price_below_preference",
                f"a share of {class_id} is worth {round_half_even(least, SHOWN_PLACES)} USD by its preference, with"
                " what others paid for common stock if it participates, and"
                f" {round_half_even(price, SHOWN_PLACES)} USD are offered for it; offer that much, or common stock",
                class_id=class_id,
            )


def list_senior(state: Issuer) -> dict[str, frozenset[str]]:
    """Return whose preferred stock each class ranks before that was created after the dilution limit was agreed on."""
    ranks = {name: each.created.seniority for name, each in state.classes.items() if each.created.kind == "preferred"}
    found = {}
    for class_id in ranks.keys() - state.limited_classes:
        held = (
            holder_id
            for (holder_id, other), shares in state.holdings.items()
            if shares and other in ranks and ranks[other] < ranks[class_id]
        )
        found[class_id] = list_parties(state).intersection(held)
    return {class_id: holders for class_id, holders in found.items() if holders}


def _find_least_price(state: Issuer, class_id: str, others: frozenset[str]) -> Fraction:
    """Return the USD below which a share of a class takes from others: its preference, 0 for common stock.

    Stock that participates takes both: the preference, and as much as the common stock that it converts into, at the
    highest value of the company at which others invested.
    """
    stock_class = state.classes.get(class_id)
    if stock_class is None:
        return Fraction(0)
    preference = find_preference(stock_class)
    if stock_class.created.participation == "none":
        return preference
    common = measure_invested(state, list_parties(state) - others) / max(measure_company(state), Fraction(1))
    return preference + common * stock_class.conversion_ratio


def undercuts_holders(
    state: Issuer, terms: PrincipalTerms, takers: frozenset[str], before: PrincipalTerms | None = None
) -> bool:
    """Return whether terms give other holders reason to buy their part: no compute would be sold for them unasked.

    That is stock or a right to it; a note that chooses its class; a cap below what another holder paid; or more than
    `DISCOUNT_MAX`, `RATE_MAX` or the principal beside it. A dilution limit changes nothing, because it states no price.

    Args:
        state: The issuer, before somebody signs.
        terms: What is signed.
        takers: Who signs, with the parties related to it.
        before: The terms that they replace; False if they give no more than these. None: a new instrument.
    """
    if before is not None and not gives_more(terms, before):
        return False
    try:
        require_agreed(replace(state, limit=None), (Exposure(amount_usd=ZERO, terms=terms),), (takers,))
    except Refusal:
        return True
    return False


def gives_more(terms: PrincipalTerms, before: PrincipalTerms) -> bool:
    """Return whether terms may bring more shares or money for the same principal than others do."""
    if isinstance(terms, PricedTerms) or isinstance(before, PricedTerms) or type(terms) is not type(before):
        return terms != before
    cap, earlier = terms.valuation_cap_usd, before.valuation_cap_usd
    if cap is not None and (earlier is None or cap < earlier):
        return True
    if isinstance(terms, NoteTerms) and isinstance(before, NoteTerms) and terms.at_maturity != before.at_maturity:
        return True
    return any(after > known for after, known in zip(_list_extras(terms), _list_extras(before), strict=True))


def _list_extras(terms: SafeTerms | NoteTerms) -> tuple[Decimal | bool, ...]:
    """Return what a SAFE or note takes beside its cap; more of each is better for its holder."""
    if isinstance(terms, NoteTerms):
        return terms.discount or ZERO, terms.annual_rate, terms.repayment_multiple
    return terms.discount or ZERO, terms.conversion_timing == "post_money", terms.most_favoured_nation


def require_class(state: Issuer, terms: PrincipalTerms) -> None:
    """Refuse stock, a warrant or a note of a class that does not exist.

    Raises:
        Refusal: ``stock_class_unknown``.
    """
    if isinstance(terms, PricedTerms):
        get_class(state, terms.class_id)
    elif isinstance(terms, NoteTerms) and terms.at_maturity is not None:
        get_class(state, terms.at_maturity.class_id)


def chooses_class(terms: PrincipalTerms, state: Issuer) -> bool:
    """Return whether a note becomes another class at its maturity than the largest one of common stock."""
    become = terms.at_maturity if isinstance(terms, NoteTerms) else None
    return become is not None and not is_main_class(state, become.class_id)


def _find_offered_price(terms: PrincipalTerms, state: Issuer, since: Fraction) -> tuple[str, Fraction]:
    """Return the class of stock that is offered, and the USD per share that principal pays for it now."""
    if isinstance(terms, PricedTerms):
        return terms.class_id, _find_price(terms) / since
    assert isinstance(terms, NoteTerms), "a SAFE states no class"
    assert terms.at_maturity is not None, "a note that chooses a class becomes stock at its maturity"
    price = Fraction(terms.valuation_cap_usd or 0) / max(measure_company(state), Fraction(1))
    return terms.at_maturity.class_id, price


def _require_value(state: Issuer, offered: Fraction, takers: frozenset[str], others: frozenset[str]) -> None:
    """Refuse to value the company below what others paid, unless they agreed to a dilution limit.

    A limit that the takers may have decided alone is not agreed to: they hold most of every class that parties hold.
    Nor is one of a time when not all the others held something.

    Args:
        state: The issuer.
        offered: The lowest value of the company in USD that is offered.
        takers: A taker and the parties related to it.
        others: The other holders.
    """
    paid = max(_list_values(state, others), default=Fraction(0))
    is_agreed = state.limit is not None and others <= state.limited
    if offered >= paid or (is_agreed and not _have_majority(state, takers)):
        return
    least, leading = ceil_cents(paid), ", ".join(sorted(takers & list_holders(state)))
    remedy = (
        "agree with them on a dilution limit first"
        if not is_agreed
        else f"take an investment on which they vote, since {leading} alone may have decided the dilution limit"
    )
    raise Refusal(
        "cap_below_holders",
        f"{round_half_even(offered, SHOWN_SHARE_PLACES)} USD value {state.formed.issuer_id} below what"
        f" {', '.join(sorted(others)[:5])} paid for, which is {least} USD or more; offer that, or {remedy}",
        pointer="/instrument",
        valuation_cap_usd=str(round_half_even(offered, SHOWN_SHARE_PLACES)),
        valuation_cap_usd_min=str(least),
        holders=sorted(others),
    )


def _have_majority(state: Issuer, takers: frozenset[str]) -> bool:
    """Return whether parties hold more than half of what parties here hold of every class of stock."""
    lead: dict[str, int] = {}
    for (holder_id, class_id), shares in state.holdings.items():
        if is_id(holder_id, "pty") and holder_id != state.formed.party_id:
            lead[class_id] = lead.get(class_id, 0) + (shares if holder_id in takers else -shares)
    return bool(lead) and all(shares > 0 for shares in lead.values())


def _require_usual(state: Issuer, offered: Iterable[PrincipalTerms], others: Sequence[str]) -> None:
    """Refuse a SAFE or note that takes more from holders than the company's value at its cap shows."""
    for terms in offered:
        if not _is_usual(terms):
            raise Refusal(
                "terms_unagreed",
                f"{', '.join(others[:5])} hold securities of {state.formed.issuer_id}; beside them, a SAFE or note for"
                f" compute has a discount of {DISCOUNT_MAX} and interest of {RATE_MAX} a year at most, and repays no"
                " more than its principal; offer that, or an investment on which they vote",
                pointer="/instrument",
                holders=list(others),
            )


def _is_usual(terms: PrincipalTerms) -> bool:
    """Return whether terms take at most `DISCOUNT_MAX` and `RATE_MAX` beside a cap, and their principal in a sale."""
    if isinstance(terms, PricedTerms):
        return True
    rate, multiple = (terms.annual_rate, terms.repayment_multiple) if isinstance(terms, NoteTerms) else (ZERO, 1)
    return (terms.discount or ZERO) <= DISCOUNT_MAX and rate <= RATE_MAX and multiple <= 1


def _list_values(state: Issuer, holders: frozenset[str]) -> Iterator[Fraction]:
    """Yield at which values of the whole company holders signed instruments with a cap or price, and got stock.

    That is also stock and rights that were bought and not delivered yet, and rights at their exercise price. Stock that
    was handed on counts at what it was issued for, and at the price that it was offered for.
    """
    held = _list_held(state, holders)
    yield from _list_signed_values(state, holders)
    yield from _list_stock_values(state, held)
    yield from _list_exercise_values(state, holders, held)


def _list_signed_values(state: Issuer, holders: frozenset[str]) -> Iterator[Fraction]:
    for instrument_id, signed in state.instruments.items():
        if signed.holder_id in holders:
            since = state.split_ratio / state.split_at_issue.get(instrument_id, state.split_ratio)
            value = _find_value(state, signed.terms, since)
            if value is not None:
                yield value


def _list_stock_values(state: Issuer, held: frozenset[tuple[str, str]]) -> Iterator[Fraction]:
    for security_id, issued in state.securities.items():
        if (issued.holder_id, issued.class_id) in held and issued.price_usd_per_share:
            since = state.split_ratio / state.split_at_issue[security_id]
            yield _value_company(state, issued.class_id, Fraction(issued.price_usd_per_share) / since)
    for transfer_id, offer in state.offers.items():
        offered, moved = offer.offered, state.acts.get(transfer_id)
        if isinstance(moved, IssuerStockTransferred) and (moved.holder_id_after, moved.class_id) in held:
            price = Fraction(offered.price_usd_per_share) * offer.split_ratio / state.split_ratio
            yield _value_company(state, moved.class_id, price)


def _list_exercise_values(
    state: Issuer, holders: frozenset[str], held: frozenset[tuple[str, str]]
) -> Iterator[Fraction]:
    """Yield at which values of the whole company holders may exercise rights and options, or did."""
    for warrant in state.warrants.values():
        class_id = warrant.issued.class_id
        if (warrant.holder_id, class_id) in held and not warrant.expired:
            prices = (each.price_usd for each in warrant.tranches if each.shares and each.price_usd is not None)
            yield _value_company(state, class_id, max(prices, default=Fraction(0)))
    for option in state.options.values():
        if option.holder_id in holders and option.shares:
            yield option.exercise_price_usd * measure_company(state)


def _list_held(state: Issuer, holders: frozenset[str]) -> frozenset[tuple[str, str]]:
    """Return holder and class of all stock that holders may have got theirs from: their own, and whose they took."""
    return follow_stock(state, ((each, class_id) for each in holders for class_id in state.classes), back=True)


def require_room(state: Issuer, subject_id: str, exposures: Iterable[Exposure]) -> None:
    """Refuse a post-money SAFE with which all of them ask for the whole company at their caps, or more of it.

    Most-favoured SAFEs count at the lowest post-money cap that their holders may elect: of open orders, of what is
    signed now, and of what they got notice of. A cap of any kind exceeds the principal that may elect it, and its own;
    so does that of an open order beside a most-favoured SAFE that is signed later.

    Args:
        state: The issuer.
        subject_id: The instrument or order that is signed, placed or changed.
        exposures: What may become equity under it from now on.

    Raises:
        Refusal: ``stack_exceeds_company``.
    """
    refusal = _refuse_stack(state, subject_id, exposures)
    if refusal is not None:
        raise refusal


def _refuse_stack(state: Issuer, subject_id: str, exposures: Iterable[Exposure]) -> Refusal | None:
    """Return the refusal of `require_room`, or None."""
    own, mine = [*exposures], state.exposures.get(subject_id, ())
    others = [(each, exposure) for each, exposure in _list_exposures(state) if each != subject_id]
    known, orders = [each for _, each in others], [each for name, each in others if name.startswith(_ORDER)]
    is_order, signed = subject_id.startswith(_ORDER), {find_safe_cap(exposure) for exposure in mine}
    noticed = [exposure for exposure in own if is_order or find_safe_cap(exposure) not in signed]
    offered = _find_lowest([*orders, *noticed])
    before = _sum_claims((*known, *mine), _find_lowest([*orders, *(mine if is_order else ())]))
    after = _sum_claims((*known, *own), offered)
    if after < 1 or after <= before:
        new = [each for each in own if is_order or each.terms not in {known.terms for known in mine}]
        found = [*(_refuse_elected(subject_id, each, known) for each in new), _refuse_electing(new, orders, known)]
        return next((refusal for refusal in found if refusal is not None), None)
    caps = [str(cap) for exposure in own if (cap := find_safe_cap(exposure, offered)) is not None]
    principal = sum_exposures(each for each in (*known, *own) if find_safe_cap(each, offered) is not None)
    return Refusal(
        "stack_exceeds_company",
        f"post-money SAFEs of {state.formed.issuer_id} would be {principal} USD of principal, {subject_id} at a cap of"
        f" {', '.join(caps)} USD, and together ask for the whole company or more, so that no round could close; raise"
        " the cap or lower the principal",
        principal_usd=str(principal),
        valuation_caps_usd=caps,
        slope=str(round_ratio(after)),
    )


def _refuse_elected(subject_id: str, exposure: Exposure, known: Iterable[Exposure]) -> Refusal | None:
    """Return the refusal of a cap that does not exceed its principal, with that of `known` SAFEs that may elect it."""
    terms = exposure.terms
    if isinstance(terms, PricedTerms) or terms.valuation_cap_usd is None:
        return None
    cap = terms.valuation_cap_usd
    elected = _sum_electing(cap, known)
    principal = elected + exposure.amount_usd
    if not elected or cap > principal:
        return None
    return Refusal(
        "stack_exceeds_company",
        f"{subject_id} has a cap of {terms.valuation_cap_usd} USD, and most-favoured SAFEs may elect it, which makes"
        f" {principal} USD of principal at that cap: the whole company or more; raise the cap, or agree with their"
        " holders first",
        principal_usd=str(principal),
        valuation_caps_usd=[str(cap)],
        slope=str(round_ratio(Fraction(principal) / Fraction(cap))),
    )


def _refuse_electing(new: Sequence[Exposure], orders: Iterable[Exposure], known: Iterable[Exposure]) -> Refusal | None:
    """Return the refusal of new most-favoured SAFEs for which an order's cap, in `orders`, would be too low.

    Otherwise its match, which is bound, would be refused. It states no figure, because the order's offer is sealed.
    """
    for order in orders:
        cap = None if isinstance(order.terms, PricedTerms) else order.terms.valuation_cap_usd
        if cap is not None and _sum_electing(cap, new) and _refuse_elected("", order, [*known, *new]) is not None:
            return Refusal(
                "stack_exceeds_company",
                "a most-favoured SAFE may elect the cap that an open order offers, at which such SAFEs ask for the"
                " whole company or more; let that order be matched or cancel it, or lower the principal",
            )
    return None


def _sum_electing(cap: Decimal, exposures: Iterable[Exposure]) -> Decimal:
    """Return the principal, in USD, of most-favoured SAFEs that may elect a cap."""
    return sum_exposures(each for each in exposures if _is_electing(each, cap))


def _is_electing(exposure: Exposure, cap: Decimal) -> bool:
    """Return whether the holder of a most-favoured SAFE has and was offered no cap yet as low as this one, in USD."""
    terms = exposure.terms
    if not isinstance(terms, SafeTerms) or not terms.most_favoured_nation:
        return False
    caps = (terms.valuation_cap_usd, exposure.offered_cap_usd, exposure.offered_pre_money_cap_usd)
    return all(each is None or each > cap for each in caps)


def _find_lowest(exposures: Iterable[Exposure]) -> Decimal | None:
    """Return the lowest cap of post-money SAFEs, in USD; None without one."""
    return min((cap for exposure in exposures if (cap := find_safe_cap(exposure)) is not None), default=None)


def find_safe_cap(exposure: Exposure, offered: Decimal | None = None) -> Decimal | None:
    """Return the cap, in USD, of a post-money SAFE; None for any other instrument.

    A most-favoured SAFE may elect the lower cap of a later post-money SAFE that is `offered`, or was before. The cap of
    a note, or of a pre-money SAFE, makes it a pre-money SAFE, so that it asks for no stated part of the company.
    """
    terms = exposure.terms
    if not isinstance(terms, SafeTerms):
        return None
    cap = terms.valuation_cap_usd if terms.conversion_timing == "post_money" else None
    offers = (cap, offered, exposure.offered_cap_usd) if terms.most_favoured_nation else (cap,)
    return min((each for each in offers if each is not None), default=None)


def _sum_claims(exposures: Iterable[Exposure], offered: Decimal | None) -> Fraction:
    """Return which part of the company post-money SAFEs ask for, if most-favoured ones elect the `offered` cap."""
    claims = ((exposure.amount_usd, find_safe_cap(exposure, offered)) for exposure in exposures)
    return sum((Fraction(amount_usd) / Fraction(cap) for amount_usd, cap in claims if cap is not None), Fraction(0))


def require_limit(command: IssuerCommand, before: Issuer, after: Issuer) -> None:
    """Refuse an act of the issuer that takes its instruments above its limit, or further above it.

    Raises:
        Refusal: ``dilution_exceeded`` with the numbers, or ``missing_convention`` if an instrument without a cap cannot
            be valued.
    """
    if after.limit is None or isinstance(command, LimitDilution | SplitStock):
        return
    if (isinstance(command, RecordExposure) and command.owed) or (
        isinstance(command, SignInstrument) and command.is_bound
    ):
        return
    if isinstance(command, IssueStock | IssueWarrant) and command.cause in before.instruments:
        return
    measured = measure_dilution(after)
    if before.limit is None or measured.part > measure_dilution(before).part:
        _require_within(after, measured, "")


def _require_within(state: Issuer, measured: Dilution, pointer: str) -> None:
    assert state.limit is not None, "there is a limit to enforce"
    assert state.limit.dilution_max is not None, "a lifted limit does not apply"
    most = Fraction(state.limit.dilution_max)
    if measured.part <= most:
        return
    shown = round_ratio(measured.part, SHOWN_PLACES)
    principal = sum_exposures(each for _, each in _list_exposures(state))
    raise Refusal(
        "dilution_exceeded",
        f"instruments would become {shown} of {state.formed.issuer_id}, above its limit of {round_ratio(most)}: "
        f"{_show(measured.converted)} shares converted, {_show(measured.warrants)} under warrants, and {principal} "
        "USD that may still become equity; offer less, or set another limit",
        pointer=pointer or None,
        dilution_max=str(state.limit.dilution_max),
        dilution=str(shown),
        dilution_exact=render_ratio(measured.part),
        converted_shares_exact=render_ratio(measured.converted),
        warrant_shares_exact=render_ratio(measured.warrants),
        pending_usd=str(principal),
        pending_shares_exact=render_ratio(measured.pending),
        whole_shares_exact=render_ratio(measured.whole),
    )


def measure_dilution(state: Issuer) -> Dilution:
    """Return the shares that instruments became or would become, as the issuer's limit counts them; see the module.

    Raises:
        Refusal: ``missing_convention`` if an instrument has no cap and the limit states no value of the company.
    """
    ahead, within = _sum_parts(state)
    company = measure_company(state)
    converted = convert_shares(state, state.instrument_shares)
    warrants = sum((convert_row(state, row) for row in list_rows(state) if row.kind == "warrant"), Fraction(0))
    if within >= 1:
        return Dilution(converted, warrants, company * ahead, company, Fraction(1))
    whole = company * (1 + ahead) / (1 - within)
    pending = whole - company
    part = (converted + warrants + pending) / whole if whole else Fraction(0)
    return Dilution(converted, warrants, pending, whole, part)


def _sum_parts(state: Issuer, uncapped: Fraction | None = None) -> tuple[Fraction, Fraction]:
    """Return what converts before the whole, over the company, and which part of the whole post-money caps ask for.

    An instrument whose price is not known counts as `uncapped`; None: it is refused.
    """
    ahead, within = Fraction(0), Fraction(0)
    for subject_id, exposure in _list_exposures(state):
        try:
            part, of_whole = _value(state, subject_id, exposure)
        except Refusal:
            if uncapped is None:
                raise
            part, of_whole = uncapped, False
        if of_whole:
            within += part
        else:
            ahead += part
    return ahead, within


def require_convertible(command: IssuerCommand, before: Issuer, after: Issuer) -> None:
    """Refuse an act by which a company has too many shares for its instruments to become stock.

    An instrument without a cap counts as many shares as the company has. A cap is divided by no fewer shares than at
    the signing.

    Raises:
        Refusal: ``shares_too_many``.
    """
    if not is_own_act(command) or not after.exposures:
        return
    whole = _measure_whole(after)
    if whole > max(Fraction(SHARES_MAX), _measure_whole(before)):
        raise Refusal(
            "shares_too_many",
            f"the company and what its instruments may become would have {_show(whole)} shares; the maximum is"
            f" {SHARES_MAX}",
            shares_max=SHARES_MAX,
        )


def _measure_whole(state: Issuer) -> Fraction:
    ahead, within = _sum_parts(state, uncapped=Fraction(1))
    signed = (shares * state.split_ratio for shares in state.shares_at_signing.values())
    company = max(measure_company(state), *signed, Fraction(0))
    return company * (1 + ahead) / (1 - within) if within < 1 else company * (1 + ahead + within)


def _show(shares: Fraction) -> str:
    return f"{round_ratio(shares, SHOWN_SHARE_PLACES):f}"


def _list_exposures(state: Issuer) -> list[tuple[str, Exposure]]:
    return [(subject_id, each) for subject_id, known in sorted(state.exposures.items()) for each in known]


def sum_exposures(exposures: Iterable[Exposure]) -> Decimal:
    """Return the USD of exposures, without interest."""
    return sum((each.amount_usd for each in exposures), ZERO)


def measure_paid(state: Issuer) -> Fraction:
    """Return the highest value of the company, in USD, at which a party signed a cap or bought stock; 0 for none."""
    return max(_list_values(state, list_parties(state)), default=Fraction(0))


def measure_known(state: Issuer) -> Fraction:
    """Return the highest value of the company, in USD, at which anybody bought stock or signed a cap; 0 for none."""
    holders = list_holders(state)
    values = *_list_signed_values(state, holders), *_list_stock_values(state, _list_held(state, holders))
    return max(values, default=Fraction(0))


def measure_invested(state: Issuer, interested: frozenset[str], *, with_caps: bool = True) -> Fraction:
    """Return the highest value of the company, in USD, at which others than `interested` bought stock; 0 for none.

    `with_caps`: also those at which they signed a cap or price. Rights that may still be exercised do not count.
    """
    others = list_parties(state) - interested
    caps = _list_signed_values(state, others) if with_caps else ()
    return max((*caps, *_list_stock_values(state, _list_held(state, others))), default=Fraction(0))


def measure_invested_by(state: Issuer, holder_id: str) -> Fraction | None:
    """Return the highest value of the company, in USD, at which a holder bought stock or signed a cap.

    A price counts for all stock, since free rights would make it any value. None if it states none, or if the holder
    has a stated part of the company alone, which no other principal lessens.
    """
    bare = replace(state, options=Map(), warrants=Map(), promises=Map(), shares_reserved=0)
    value = measure_invested(bare, list_parties(state) - {holder_id})
    return value if value and not _has_stated_part(state, holder_id) else None


def list_principal(
    state: Issuer, since: date, holders: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str, Fraction]]:
    """Yield instrument, holder and USD of what may still become equity: of cash since a day, and all of some holders.

    Priced stock and warrants count with what was invested in cash only.
    """
    for name, signed in sorted(state.instruments.items()):
        is_recent = signed.invested_on is not None and signed.invested_on >= since
        if is_recent or (signed.holder_id in holders and not isinstance(signed.terms, PricedTerms)):
            known = state.exposures.get(name, ())
            yield name, signed.holder_id, sum((measure_balance(name, each) for each in known), Fraction(0))


def undercuts_paid(state: Issuer, terms: PrincipalTerms, holder_id: str) -> bool:
    """Return whether what is offered may take from a holder that has paid more.

    It does not if it values the company no lower than the holder's caps and prices do; or if the holder has post-money
    SAFEs with a cap alone, whose part of the company stays the same. It may on unusual terms, and below the worth
    of its class; see `_find_least_price`.
    """
    if not _is_usual(terms) or _costs_too_little(state, terms, holder_id):
        return True
    if _has_stated_part(state, holder_id):
        return False
    value = value_offer(state, terms)
    paid = max(_list_values(state, frozenset({holder_id})), default=None)
    return value is None or paid is None or value < paid


def _costs_too_little(state: Issuer, terms: PrincipalTerms, holder_id: str) -> bool:
    """Return whether stock of a class is offered for less than it may take from a holder in a sale."""
    if not isinstance(terms, PricedTerms) and not chooses_class(terms, state):
        return False
    class_id, price = _find_offered_price(terms, state, Fraction(1))
    return price < _find_least_price(state, class_id, frozenset({holder_id}))


def _has_stated_part(state: Issuer, holder_id: str) -> bool:
    """Return whether all that a holder has is post-money SAFEs with a cap."""
    signed = (each.terms for each in state.instruments.values() if each.holder_id == holder_id)
    return not any(row.holder_id == holder_id for row in list_rows(state)) and all(
        isinstance(terms, SafeTerms) and terms.conversion_timing == "post_money" and terms.valuation_cap_usd is not None
        for terms in signed
    )


def value_offer(state: Issuer, terms: PrincipalTerms) -> Fraction | None:
    """Return the value of the company in USD at the cap or price of what is offered now, exact; None without one."""
    return _find_value(state, terms, Fraction(1))


def sum_principal(state: Issuer, below: Fraction | None = None) -> Decimal:
    """Return the dollars that a company's instruments may still become equity for, without its open orders.

    They are raised by what terms take beside a cap: a discount, a year's interest, and what a sale repays beyond the
    principal. So better terms at the same principal make it more.

    Args:
        state: The company.
        below: Leave out instruments that value it no lower, on usual terms; None: count all.
    """
    counted = (
        _weigh(each.terms, Fraction(each.amount_usd))
        for name, each in _list_signed(state)
        if _is_below(state, name, each, below)
    )
    return ceil_cents(sum(counted, Fraction(0)))


def _list_signed(state: Issuer) -> list[tuple[str, Exposure]]:
    return [(name, exposure) for name, exposure in _list_exposures(state) if name in state.instruments]


def _is_below(state: Issuer, name: str, exposure: Exposure, value: Fraction | None) -> bool:
    """Return whether an instrument values the company below `value`, at no known value, or takes more than is usual.

    True if `value` is None.
    """
    since = state.split_ratio / state.split_at_issue.get(name, state.split_ratio)
    own = _find_value(state, exposure.terms, since)
    return value is None or own is None or own < value or not _is_usual(exposure.terms)


def measure_bonus(terms: PrincipalTerms, amount_usd: Fraction) -> Fraction:
    """Return the USD that terms which are not usual give beside a cap, for so much principal; 0 for usual ones."""
    return Fraction(0) if _is_usual(terms) else _weigh(terms, amount_usd) - amount_usd


def _weigh(terms: PrincipalTerms, amount: Fraction) -> Fraction:
    if isinstance(terms, NoteTerms):
        amount *= (1 + Fraction(terms.annual_rate)) * max(Fraction(terms.repayment_multiple), Fraction(1))
    return amount if isinstance(terms, PricedTerms) else amount / (1 - Fraction(terms.discount or 0))


def measure_claims(state: Issuer, shares: Fraction, below: Fraction | None = None) -> Fraction:
    """Return which part of the company its instruments ask for at caps and prices; without its open orders.

    Principal is counted over its cap; without one it asks for no part here, see `sum_principal`. Shares at a price are
    a part of `shares`. With the same number as before, only instruments change the result.

    Args:
        state: The company.
        shares: Its shares as converted, when it was measured first.
        below: Leave out what `sum_principal` leaves out.
    """
    company, claims = measure_company(state), Fraction(0)
    for name, exposure in _list_signed(state):
        terms = exposure.terms
        if not _is_below(state, name, exposure, below):
            continue
        if isinstance(terms, PricedTerms):
            claims += _value(state, name, exposure)[0] * company / max(shares, Fraction(1))
        elif terms.valuation_cap_usd is not None:
            claims += Fraction(exposure.amount_usd) / Fraction(terms.valuation_cap_usd)
    return claims


def list_claims(
    state: Issuer, uncapped: Fraction = Fraction(0), *, pre_money_usd: Fraction | None = None
) -> Iterator[tuple[str, Fraction]]:
    """Yield each instrument's holder and part of the company: at its cap or price.

    Where no price is known: at `pre_money_usd`, or without it `uncapped`.
    """
    for name, exposure in _list_exposures(state):
        signed = state.instruments.get(name)
        if signed is not None and exposure.amount_usd:
            try:
                yield signed.holder_id, _value(state, name, exposure)[0]
            except Refusal:
                stated = None if pre_money_usd is None else measure_balance(name, exposure) / pre_money_usd
                yield signed.holder_id, uncapped if stated is None else stated


def scale_principal(state: Issuer) -> dict[str, Fraction]:
    """Return, by instrument, as how many dollars a dollar of it counts in a vote: by the part of the company it buys.

    A dollar at the mean cap or price of all instruments counts as one, at twice the mean as half. So nobody decides for
    the others by principal at a cap that gives next to nothing. Without a cap or price it counts as one. A discount
    counts nothing, because nobody knows the price that it is taken off.
    """
    known: dict[str, list[tuple[Fraction, Fraction | None]]] = {}
    for name, each in _list_exposures(state):
        if name in state.instruments and each.amount_usd:
            since = state.split_ratio / state.split_at_issue.get(name, state.split_ratio)
            value = _find_value(state, each.terms, since)
            part = Fraction(each.amount_usd) / value if value else None
            known.setdefault(name, []).append((Fraction(each.amount_usd), part))
    priced = [(amount, part) for rows in known.values() for amount, part in rows if part is not None]
    bought = sum((part for _, part in priced), Fraction(0))
    mean = sum((amount for amount, _ in priced), Fraction(0)) / bought if bought else Fraction(1)
    return {
        name: sum((amount if part is None else part * mean for amount, part in rows), Fraction(0))
        / sum((amount for amount, _ in rows), Fraction(0))
        for name, rows in known.items()
    }


def _value(state: Issuer, subject_id: str, exposure: Exposure) -> tuple[Fraction, bool]:
    """Return the amount over its valuation, and whether that is a post-money part of the company."""
    terms, amount = exposure.terms, measure_balance(subject_id, exposure)
    if isinstance(terms, PricedTerms):
        return find_priced_part(state, subject_id, exposure), False
    post_money = not isinstance(terms, NoteTerms) and terms.conversion_timing == "post_money"
    values = [] if terms.valuation_cap_usd is None else [(Fraction(terms.valuation_cap_usd), not post_money)]
    limit = state.limit
    if limit is not None and limit.valuation_usd is not None:
        values.append((Fraction(limit.valuation_usd) * (1 - Fraction(terms.discount or 0)), True))
    if not values:
        raise refuse_missing(
            "valuation_usd",
            f"the company value in the dilution limit at which {subject_id}, which has no cap, is counted",
            "",
        )
    value, before_it = min(values)
    return amount / value, not before_it


def find_priced_part(state: Issuer, subject_id: str, exposure: Exposure) -> Fraction:
    """Return which part of the present company principal buys at its own price of stock, or of rights to stock."""
    terms, amount = exposure.terms, Fraction(exposure.amount_usd)
    assert isinstance(terms, PricedTerms), "only stock and warrants have a price"
    split = state.split_ratio / state.split_at_issue.get(subject_id, state.split_ratio)
    value = _value_company(state, terms.class_id, Fraction(terms.price_usd_per_share) / split)
    return amount / value if value else value


def measure_balance(subject_id: str, exposure: Exposure) -> Fraction:
    """Return the exact USD that may become equity: principal, of a note with interest to its maturity."""
    terms = exposure.terms
    if not isinstance(terms, NoteTerms) or exposure.interest_from is None:
        return Fraction(exposure.amount_usd)
    until = max(terms.matures_on, exposure.interest_from)
    return compute_balance(subject_id, exposure.amount_usd, exposure.interest_from, terms, until)


def _value_company(state: Issuer, class_id: str, price_usd: Fraction) -> Fraction:
    """Return the value of the company as converted, at a price of one share of a class, exact."""
    stock_class = state.classes.get(class_id)
    ratio = Fraction(1) if stock_class is None else stock_class.conversion_ratio
    return price_usd / ratio * measure_company(state)


def _find_value(state: Issuer, terms: PrincipalTerms, since: Fraction) -> Fraction | None:
    """Return the value of the company in USD at a price or cap, exact; None without a cap."""
    if isinstance(terms, PricedTerms):
        return _value_company(state, terms.class_id, _find_price(terms) / since)
    return None if terms.valuation_cap_usd is None else Fraction(terms.valuation_cap_usd)


def find_price(state: Issuer, terms: PricedTerms, split_ratio: str | None = None) -> Fraction:
    """Return the USD that one share costs in all, as shares are now; of a warrant, with the exercise price.

    `split_ratio` is the split factor when the price was agreed; None: now.
    """
    return _find_price(terms) / _measure_split(state, split_ratio)


def _find_price(terms: PricedTerms) -> Fraction:
    """Return the USD that one share costs in all, before splits; of a warrant, with the exercise price."""
    strike = terms.exercise_price_usd if isinstance(terms, WarrantTerms) else ZERO
    return Fraction(terms.price_usd_per_share + strike)


def _measure_split(state: Issuer, split_ratio: str | None) -> Fraction:
    """Return into how many shares one share was split since the split factor was `split_ratio`."""
    return Fraction(1) if split_ratio is None else state.split_ratio / parse_ratio(split_ratio)


def set_limit(state: Issuer, event: IssuerDilutionLimited) -> Issuer:
    """Return the state with a limit, counting the instruments that the event states and all open orders; or without."""
    if event.dilution_max is None:
        return replace(state, limit=None, limited=frozenset(), limited_classes=frozenset())
    orders = {subject_id: known for subject_id, known in state.exposures.items() if subject_id.startswith(_ORDER)}
    counted = {each.instrument_id: each.exposures for each in event.instruments if each.exposures}
    agreed = replace(state, limit=event, limited=list_parties(state), limited_classes=frozenset(state.classes))
    return replace(agreed, exposures=Map({**orders, **counted}))
