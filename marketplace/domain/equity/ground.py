"""The company may change between a proposal and its last agreement.

An agreement still covers a result that differs only a little.

A sale and the closing of a round are computed from the whole company, so that whoever exercises one share of a warrant
changes their numbers. They are computed again at the last agreement. What is stored then may differ from what was
proposed in the results only, and only while

- the company's shares and rights, as converted and without the unissued pool, are no more than when it was proposed:
  only holders' own rights change the ground, and nobody is diluted by it;
- principal grows by no more than `TOLERANCE`;
- of a sale, the buyer's shares and instruments, and the cost of the capacity that it takes over, grow by no more than
  `TOLERANCE`, and the buyer bought back none of its stock. An agreement counts no more if its party would get less
  than it agreed to by more than `TOLERANCE`;
- of a consolidation, only its fractions differ, at the same price; of a dilution limit, only what counts toward it;
  of holder terms, only whom they bind;
- of a round, no row of shares is smaller by more than that. All new shares and the pool together are no more by more
  than that, or each investor gets no smaller part of the company: instruments that were signed meanwhile lower the
  price at which they buy a fixed part, and dilute those alone who had a say on the instruments themselves.

The comparison is with what was proposed, so that several small changes are one.

A number of shares or rights that somebody takes is a part of the company as it was proposed. With more shares and
rights, preferences or principal by more than `TOLERANCE`, or if instruments ask for more of the company by `TOLERANCE`
of it, the proposal is void, whoever has agreed by then. Principal is counted with what its terms add, such as a
discount. An instrument makes the offer no worse, and does not count, if it values the company no lower than the offer
and all that holders paid before it (`find_worth`), on usual terms: it brings its worth.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from msgspec import structs

from events.account import AccountCredited, AccountDebited
from events.financing import StockConsideration
from events.instrument import InstrumentConverted
from events.issuer import (
    IssuerAuthorisedSharesAdjusted,
    IssuerDilutionLimited,
    IssuerFinancingClosed,
    IssuerFinancingPriced,
    IssuerFirstRefusalExercised,
    IssuerHolderTermsAgreed,
    IssuerInstrumentSigned,
    IssuerLiquidityDeclared,
    IssuerOptionCancelled,
    IssuerOptionGranted,
    IssuerOptionPromised,
    IssuerStakeholderAdded,
    IssuerStockClassCreated,
    IssuerStockIssued,
    IssuerStockPlanAdjusted,
    IssuerStockRepurchased,
    IssuerStockSplit,
    IssuerStockTransferred,
    IssuerWarrantIssued,
)
from events.proposal import ProposalMade
from events.registry import get_tag, render_body
from events.types import Event, PricedTerms, StockTerms
from marketplace.core.ids import rename_id
from marketplace.core.money import ZERO, parse_ratio
from marketplace.domain.equity.issuer.as_converted import convert_row, measure_preference
from marketplace.domain.equity.issuer.dilution import measure_claims, measure_paid, sum_principal, value_offer
from marketplace.domain.equity.issuer.financing.financing import name_allotment
from marketplace.domain.equity.issuer.state import Issuer, list_rows

TOLERANCE: Final = Fraction(1, 1_000)
"""The share by which results may differ from what was agreed to."""
_COMPUTED: Final = (
    InstrumentConverted,
    IssuerFinancingPriced,
    IssuerStakeholderAdded,
    IssuerStockClassCreated,
    IssuerStockIssued,
    IssuerStockPlanAdjusted,
)
"""Events of a closing that follow from the round's price."""
_OF_FRACTIONS: Final = (
    AccountCredited,
    AccountDebited,
    IssuerAuthorisedSharesAdjusted,
    IssuerOptionCancelled,
    IssuerStockIssued,
    IssuerStockPlanAdjusted,
    IssuerStockRepurchased,
    IssuerStockSplit,
)
"""Events of a consolidation: itself, and what becomes of fractions."""
_COUNTED: Final = (
    "buyer_shares",
    "buyer_principal_usd",
    "buyer_claims_exact",
    "buyer_preference_exact",
    "buyer_repurchased_usd",
)
"""What a sale counts of a buyer that pays with its stock."""
_TAKEN: Final = (
    IssuerFirstRefusalExercised,
    IssuerOptionGranted,
    IssuerOptionPromised,
    IssuerStockTransferred,
    IssuerWarrantIssued,
)
"""Events by which somebody takes a number of shares or rights, beside stock that is sold."""


def measure_rights(state: Issuer) -> Fraction:
    """Return how many common shares the shares and rights of a company are as converted, without its unissued pool."""
    return sum((convert_row(state, row) for row in list_rows(state) if row.kind != "pool"), Fraction(0))


def is_ground_lost(made: ProposalMade, effects: Iterable[Event], issuer: Issuer) -> bool:
    """Return whether a proposal gives somebody shares or rights of a company that grew by more than `TOLERANCE` since.

    What may not grow: its shares and rights, its preferences, its principal and what that asks for.

    Args:
        made: The proposal, with the company as it was.
        effects: What it records.
        issuer: The company now, before the effects.
    """
    if not any(_is_taken(event) for event in effects):
        return False
    worth = None if made.worth_exact is None else parse_ratio(made.worth_exact)
    return (
        _grows(parse_ratio(made.company_exact), measure_rights(issuer))
        or _grows(parse_ratio(made.preference_exact), measure_preference(issuer))
        or _grows(made.principal_usd, sum_principal(issuer, worth))
        or measure_claims(issuer, parse_ratio(made.company_exact), worth) > parse_ratio(made.claims_exact) + TOLERANCE
    )


def find_worth(effects: Iterable[Event], issuer: Issuer) -> Fraction:
    """Return the value of a company, in USD, below which an instrument makes an offer worse; exact.

    That is the highest at which parties signed a cap or bought stock, and that of the offer's own price.
    """
    found = [measure_paid(issuer)]
    for event in effects:
        if isinstance(event, IssuerStockIssued) and event.cause is None:
            terms = StockTerms(class_id=event.class_id, price_usd_per_share=event.price_usd_per_share)
            found.append(value_offer(issuer, terms) or Fraction(0))
        elif isinstance(event, IssuerInstrumentSigned):
            found.append(value_offer(issuer, event.terms) or Fraction(0))
    return max(found)


def _is_taken(event: Event) -> bool:
    match event:
        case IssuerStockIssued():
            return event.cause is None
        case IssuerInstrumentSigned():
            return isinstance(event.terms, PricedTerms)
        case _:
            return isinstance(event, _TAKEN)


def keep_agreements(
    before: Sequence[Event], after: Sequence[Event], agreed: frozenset[str], issuer: Issuer
) -> frozenset[str]:
    """Return those of `agreed` whose agreement to a proposal's effects also covers the effects as computed again.

    Args:
        before: The effects as proposed.
        after: The effects as they would be recorded now, for a company with no more shares and rights than then.
        agreed: Who agreed.
        issuer: The company now, before the effects.
    """
    sold = _find(before, IssuerLiquidityDeclared), _find(after, IssuerLiquidityDeclared)
    if sold[0] is not None and sold[1] is not None:
        return _keep_sale(sold[0], sold[1], agreed) if len(before) == len(after) else frozenset()
    limit = _find(before, IssuerDilutionLimited), _find(after, IssuerDilutionLimited)
    if limit[0] is not None and limit[1] is not None:
        return agreed if structs.replace(limit[1], instruments=limit[0].instruments) == limit[0] else frozenset()
    terms = _find(before, IssuerHolderTermsAgreed), _find(after, IssuerHolderTermsAgreed)
    if terms[0] is not None and terms[1] is not None:
        return agreed if structs.replace(terms[1], bound=terms[0].bound) == terms[0] else frozenset()
    split = _find(before, IssuerStockSplit)
    if split is not None:
        return agreed if _is_near_split(split, before, after) else frozenset()
    if _find(before, IssuerFinancingClosed) is None:
        return frozenset()
    return agreed if _is_near_round(before, after, issuer) else frozenset()


def _find(events: Iterable[Event], kind: type[Any]) -> Any:
    return next((event for event in events if isinstance(event, kind)), None)


def _keep_sale(
    before: IssuerLiquidityDeclared, after: IssuerLiquidityDeclared, agreed: frozenset[str]
) -> frozenset[str]:
    stated = [
        structs.replace(
            each,
            waterfall=structs.replace(
                each.waterfall,
                instruments=(),
                price_per_common_share_exact="0",
                payouts=(),
                certificate_json="",
                stock=None if each.waterfall.stock is None else _keep_terms(each.waterfall.stock),
            ),
            assumed=None if each.assumed is None else structs.replace(each.assumed, grants=()),
        )
        for each in (before, after)
    ]
    owed = [sum((one.principal_usd for one in each.waterfall.instruments), ZERO) for each in (before, after)]
    if stated[0] != stated[1] or _grows(*owed) or _is_diluted(before.waterfall.stock, after.waterfall.stock):
        return frozenset()
    paid, due = _sum_payouts(before), _sum_payouts(after)
    kept = {each for each in agreed if due.get(each, Fraction(0)) >= paid.get(each, Fraction(0)) * (1 - TOLERANCE)}
    if before.assumed is not None and after.assumed is not None:
        costs = [sum((one.cash_usd_max for one in each.grants), ZERO) for each in (before.assumed, after.assumed)]
        if _grows(*costs):
            kept -= {rename_id("pty", before.assumed.issuer_id)}
    return frozenset(kept)


def _keep_terms(stock: StockConsideration) -> StockConsideration:
    counted: dict[str, Any] = dict.fromkeys(_COUNTED)
    return structs.replace(stock, exchange_ratio="0", **counted)


def _is_diluted(before: StockConsideration | None, after: StockConsideration | None) -> bool:
    """Return whether the buyer's shares, principal or preferences grew by more than `TOLERANCE`, or it bought back."""
    if before is None or after is None:
        return False
    shares = (Decimal(each.buyer_shares or 0) for each in (before, after))
    preferred = (parse_ratio(each.buyer_preference_exact or "0/1") for each in (before, after))
    owed = (each.buyer_principal_usd or ZERO for each in (before, after))
    claimed = [parse_ratio(each.buyer_claims_exact or "0/1") for each in (before, after)]
    spent = [each.buyer_repurchased_usd or ZERO for each in (before, after)]
    grown = any(_grows(*each) for each in (shares, owed, preferred))
    return grown or claimed[1] > claimed[0] + TOLERANCE or spent[1] > spent[0]


def _grows(before: Decimal | Fraction, after: Decimal | Fraction) -> bool:
    return Fraction(after) > Fraction(before) * (1 + TOLERANCE)


def _sum_payouts(event: IssuerLiquidityDeclared) -> Mapping[str, Fraction]:
    found: dict[str, Fraction] = {}
    for payout in event.waterfall.payouts:
        found[payout.holder_id] = found.get(payout.holder_id, Fraction(0)) + parse_ratio(payout.amount_exact)
    return found


def _is_near_split(split: IssuerStockSplit, before: Sequence[Event], after: Sequence[Event]) -> bool:
    """Return whether a consolidation differs only in what it does with fractions, at prices that were proposed."""
    now = _find(after, IssuerStockSplit)
    if now is None or structs.replace(now, pool_shares_available=split.pool_shares_available) != split:
        return False
    prices = [
        {each.price_usd_per_share for each in one if isinstance(each, IssuerStockRepurchased)}
        for one in (before, after)
    ]
    return prices[1] <= prices[0] and all(isinstance(each, _OF_FRACTIONS) for each in after)


def _is_near_round(before: Sequence[Event], after: Sequence[Event], issuer: Issuer) -> bool:
    if _count_stated(before) != _count_stated(after):
        return False
    shares, now = _list_issued(before), _list_issued(after)
    if any(now.get(name, 0) < count * (1 - TOLERANCE) for name, count in shares.items()):
        return False
    pools = [_find(events, IssuerStockPlanAdjusted) for events in (before, after)]
    whole = [sum(rows.values()) for rows in (shares, now)]
    for index, pool in enumerate(pools):
        whole[index] += 0 if pool is None else pool.shares_reserved
    return not _grows(Decimal(whole[0]), Decimal(whole[1])) or _keep_parts(before, after, issuer)


def _keep_parts(before: Sequence[Event], after: Sequence[Event], issuer: Issuer) -> bool:
    """Return whether each investor of a round gets at least the part of the company that it agreed to, nearly."""
    parts = [_measure_parts(events, issuer) for events in (before, after)]
    return all(parts[1].get(name, Fraction(0)) >= part * (1 - TOLERANCE) for name, part in parts[0].items())


def _measure_parts(events: Sequence[Event], issuer: Issuer) -> dict[str, Fraction]:
    """Return the part of the company, with its pool, that each investor of a round buys."""
    plan, shares = _find(events, IssuerStockPlanAdjusted), _list_issued(events)
    pool = issuer.shares_available + (0 if plan is None else plan.shares_reserved - issuer.shares_reserved)
    whole = measure_rights(issuer) + pool + sum(shares.values())
    issued = (event for event in events if isinstance(event, IssuerStockIssued))
    bought = (each for each in issued if each.security_id == name_allotment(each.cause or "", each.holder_id))
    return {each.security_id: each.shares / whole for each in bought}


def _count_stated(events: Iterable[Event]) -> Counter[tuple[str, bytes]]:
    """Return tag and body of the events that do not follow from the price, such as payments, each with its number."""
    return Counter((get_tag(event), render_body(event)) for event in events if not isinstance(event, _COMPUTED))


def _list_issued(events: Iterable[Event]) -> dict[str, int]:
    return {event.security_id: event.shares for event in events if isinstance(event, IssuerStockIssued)}
