"""Splits and consolidations; `marketplace.domain.equity.issuer.issuer` documents the order of refusals.

A split multiplies whole numbers into whole numbers. A consolidation replaces several shares by one. Shares of a holder
that would become a fraction are handled just before, in the same atomic batch, as the charter says:

- *cash in lieu*: the issuer buys them back, at the price of a share before the split
- *given up*: they are cancelled without payment
- *rounded up*: the holder gets the shares that are missing to the next whole one, for nothing

The fractional part of an option returns to the pool, and that of the authorised shares is removed. Shares under a
warrant or a promise, and the pool, are rounded down; the split's event states what is left of the pool. A right
therefore loses less than one share and gains none; its price is divided like every other. If a split such as three for
two leaves fractions, do it in two steps: three for one, then one for two.

None is made while a round is open: what holders take of it is a sum of money, which would buy another number of shares.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import gcd
from typing import Final

from msgspec import structs

from events.issuer import (
    IssuerAuthorisedSharesAdjusted,
    IssuerEvent,
    IssuerOptionCancelled,
    IssuerStockIssued,
    IssuerStockPlanAdjusted,
    IssuerStockRepurchased,
    IssuerStockSplit,
)
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.core.money import ZERO, require_price_per_share
from marketplace.domain.equity.issuer.evolve import evolve
from marketplace.domain.equity.issuer.rules import (
    SHARES_MAX,
    get_class,
    is_repeated,
    refuse_missing,
    require_authorised,
    require_no_financing,
)
from marketplace.domain.equity.issuer.state import Issuer, IssuerState
from marketplace.domain.equity.issuer.stock_commands import SplitStock

SPLIT_MAX: Final = 1_000_000
EVENTS_MAX: Final = 900
"""The limit that keeps a split within one atomic batch."""


def split_stock(command: SplitStock, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the split, preceded by the handling of fractions; nothing if it is recorded."""
    event = IssuerStockSplit(
        issuer_id=command.issuer_id,
        split_id=command.split_id,
        numerator=command.numerator,
        denominator=command.denominator,
        fractions=command.fractions,
    )
    known = state.acts.get(command.split_id)
    if isinstance(known, IssuerStockSplit):
        event = structs.replace(event, pool_shares_available=known.pool_shares_available)
    if is_repeated("split", command.split_id, state.acts, event):
        return []
    numerator, denominator = command.numerator, command.denominator
    for pointer, part in (("/numerator", numerator), ("/denominator", denominator)):
        if not 1 <= part <= SPLIT_MAX:
            raise Refusal("split_out_of_range", f"{pointer} is {part}; state 1 to {SPLIT_MAX}", pointer=pointer)
    if numerator == denominator:
        raise Refusal(
            "split_changes_nothing",
            f"a split of {numerator} for {denominator} changes nothing; state two different numbers",
        )
    require_no_financing(state)
    common = gcd(numerator, denominator)
    before = _even_out(command, state, denominator // common) if numerator == common else []
    if len(before) > EVENTS_MAX:
        raise Refusal(
            "split_too_wide",
            f"fractions of {len(before)} holders and numbers need handling; one split can handle {EVENTS_MAX}",
            events_max=EVENTS_MAX,
        )
    evened = _fold(state, before)
    rounds_down = command.fractions is not None and numerator == common
    _require_whole(command, evened, rights=not rounds_down)
    if rounds_down:
        left = _fold(evened, [event]).shares_available
        if left != Fraction(evened.shares_available * numerator, denominator):
            event = structs.replace(event, pool_shares_available=left)
    return [*before, event]


def _fold(state: Issuer, events: Iterable[IssuerEvent]) -> Issuer:
    after: IssuerState = state
    for event in events:
        after = evolve(after, event)
    assert isinstance(after, Issuer), "what was formed stays"
    return after


def _even_out(command: SplitStock, state: Issuer, unit: int) -> list[IssuerEvent]:
    """Return the events that make every number a multiple of `unit`, if the command says how."""
    odd = [(key, shares % unit) for key, shares in sorted(state.holdings.items()) if shares % unit]
    if odd and command.fractions is None:
        (holder_id, class_id), shares = odd[0]
        raise refuse_missing(
            "fractions",
            f"cash_in_lieu, give_up or round_up: {shares} of the {state.holdings[holder_id, class_id]} shares of class "
            f"{class_id} held by {holder_id} would become a fraction",
            "",
        )
    if command.fractions is None:
        return []
    events: list[IssuerEvent] = list(_fill_up(command, state, odd, unit) if command.fractions == "round_up" else ())
    if command.fractions != "round_up":
        events.extend(_take_back(command, odd))
    events.extend(_cancel_options(command, state, unit))
    return [*events, *_trim(command, _fold(state, events), unit)]


def _take_back(command: SplitStock, odd: Sequence[tuple[tuple[str, str], int]]) -> Iterator[IssuerStockRepurchased]:
    price = command.cash_usd_per_share
    if command.fractions == "give_up":
        price = ZERO
    elif price is None and odd:
        raise refuse_missing("cash_usd_per_share", "what is paid for one share before the split", "")
    for (holder_id, class_id), shares in odd:
        assert price is not None, "the price of a fraction is known"
        require_price_per_share(price, "/cash_usd_per_share", zero=command.fractions == "give_up")
        yield IssuerStockRepurchased(
            issuer_id=command.issuer_id,
            repurchase_id=derive_id("rep", command.split_id, f"{holder_id}/{class_id}"),
            holder_id=holder_id,
            class_id=class_id,
            shares=shares,
            price_usd_per_share=price,
            cause=command.split_id,
            approval=command.approval,
        )


def _fill_up(
    command: SplitStock, state: Issuer, odd: Sequence[tuple[tuple[str, str], int]], unit: int
) -> Iterator[IssuerStockIssued]:
    needed: dict[str, int] = {}
    for (_, class_id), shares in odd:
        needed[class_id] = needed.get(class_id, 0) + unit - shares
    for class_id, shares in needed.items():
        require_authorised(get_class(state, class_id), shares)
    for (holder_id, class_id), shares in odd:
        yield IssuerStockIssued(
            issuer_id=command.issuer_id,
            security_id=derive_id("sec", command.split_id, f"{holder_id}/{class_id}"),
            holder_id=holder_id,
            class_id=class_id,
            shares=unit - shares,
            price_usd_per_share=ZERO,
            cause=command.split_id,
            approval=command.approval,
        )


def _cancel_options(command: SplitStock, state: Issuer, unit: int) -> Iterator[IssuerOptionCancelled]:
    for option_id, option in sorted(state.options.items()):
        odd = option.shares_outstanding % unit
        if odd:
            yield IssuerOptionCancelled(
                issuer_id=command.issuer_id,
                cancellation_id=derive_id("can", command.split_id, option_id),
                option_id=option_id,
                holder_id=option.holder_id,
                shares=odd,
                kind="cancelled",
                reason="They would have become a fraction of a share in a split.",
            )


def _trim(command: SplitStock, state: Issuer, unit: int) -> Iterator[IssuerEvent]:
    """Remove what would become a fraction from the authorised shares, and from the pool if it has so much free."""
    odd = state.shares_reserved % unit
    if odd and odd <= state.shares_available:
        yield IssuerStockPlanAdjusted(
            issuer_id=command.issuer_id,
            shares_reserved=state.shares_reserved - odd,
            cause=command.split_id,
            approval=command.approval,
        )
    for class_id, stock_class in sorted(state.classes.items()):
        kept = stock_class.shares_authorised - stock_class.shares_authorised % unit
        if kept and kept != stock_class.shares_authorised:
            yield IssuerAuthorisedSharesAdjusted(
                issuer_id=command.issuer_id,
                class_id=class_id,
                shares_authorised=kept,
                cause=command.split_id,
                approval=command.approval,
            )


def _require_whole(command: SplitStock, state: Issuer, *, rights: bool) -> None:
    for what, shares in _list_counts(state, rights=rights):
        after = Fraction(shares * command.numerator, command.denominator)
        if after.denominator != 1:
            raise Refusal(
                "split_leaves_fractions",
                f"{shares} {what} times {command.numerator}/{command.denominator} is not a whole number; change it "
                "first, or split by whole numbers and then consolidate",
                what=what,
                shares=shares,
            )
        if after > SHARES_MAX:
            raise Refusal("shares_too_many", f"{after} {what} after the split exceed {SHARES_MAX}", what=what)


def _list_counts(state: Issuer, *, rights: bool) -> Iterable[tuple[str, int]]:
    for (holder_id, class_id), shares in sorted(state.holdings.items()):
        yield f"shares of class {class_id} held by {holder_id}", shares
    for class_id, stock_class in sorted(state.classes.items()):
        yield f"authorised shares of class {class_id}", stock_class.shares_authorised
    if rights:
        yield from _list_rights(state)


def _list_rights(state: Issuer) -> Iterable[tuple[str, int]]:
    for option_id, option in sorted(state.options.items()):
        yield f"shares under option {option_id}", option.shares_outstanding
        yield f"shares ever under option {option_id}", option.shares
        yield f"shares granted by option {option_id}", option.shares_granted
    for warrant_id, warrant in sorted(state.warrants.items()):
        yield f"shares under warrant {warrant_id}", warrant.shares_outstanding
        yield f"shares ever under warrant {warrant_id}", warrant.shares
        for index, tranche in enumerate(warrant.tranches):
            yield f"shares of tranche {index} of warrant {warrant_id}", tranche.shares
            yield f"unvested shares of tranche {index} of warrant {warrant_id}", tranche.unvested
    for promise_id, shares in sorted(state.promises.items()):
        yield f"shares of promise {promise_id}", shares
    yield "shares of the pool", state.shares_reserved
