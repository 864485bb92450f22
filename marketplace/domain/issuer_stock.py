"""Acts on stakeholders, classes and shares; `marketplace.domain.issuer` documents the order of refusals."""

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final

from events.issuer import (
    IssuerEvent,
    IssuerStakeholderAdded,
    IssuerStockClassCreated,
    IssuerStockIssued,
    IssuerStockRepurchased,
    IssuerStockSplit,
    IssuerStockTransferred,
    IssuerValuationRecorded,
)
from marketplace.core.errors import Refusal
from marketplace.core.money import require_price_per_share, require_usd
from marketplace.domain.issuer_commands import (
    AddStakeholder,
    CreateStockClass,
    IssueStock,
    RecordValuation,
    RepurchaseStock,
    SplitStock,
    TransferStock,
)
from marketplace.domain.issuer_rules import (
    SHARES_MAX,
    get_class,
    is_repeated,
    require_authorised,
    require_held,
    require_shares,
    require_stakeholder,
)
from marketplace.domain.issuer_state import SENIORITY_MAX, Issuer
from marketplace.domain.refusals import refuse_exists

SPLIT_MAX: Final = 1_000_000
_CLASS_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def add_stakeholder(command: AddStakeholder, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the stakeholder, unless known."""
    event = IssuerStakeholderAdded(
        issuer_id=command.issuer_id, holder_id=command.holder_id, name=command.name, kind=command.kind
    )
    return [] if is_repeated("stakeholder", command.holder_id, state.stakeholders, event) else [event]


def create_class(command: CreateStockClass, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the class, unless known."""
    event = IssuerStockClassCreated(
        issuer_id=command.issuer_id,
        class_id=command.class_id,
        kind=command.kind,
        shares_authorised=command.shares_authorised,
        price_per_share_usd=command.price_per_share_usd,
        liquidation_multiple=command.liquidation_multiple,
        seniority=command.seniority,
    )
    created = {class_id: known.created for class_id, known in state.classes.items()}
    if is_repeated("stock_class", command.class_id, created, event):
        return []
    financing = state.find_open_financing()
    if financing is not None and is_class_of_round(command.class_id, financing.opened.terms.class_id):
        raise refuse_exists("stock_class", command.class_id)
    require_class_id(command.class_id)
    require_shares(command.shares_authorised, "/shares_authorised")
    _require_preference(command)
    require_seniority(command.seniority)
    return [event]


def is_class_of_round(class_id: str, round_class_id: str) -> bool:
    """Tell whether a round that creates a class may also create this one for what converts at a price of its own."""
    return re.fullmatch(rf"{re.escape(round_class_id)}(-[0-9]+)?", class_id) is not None


def require_class_id(class_id: str) -> None:
    """Refuse a malformed name of a class.

    Raises:
        Refusal: ``class_id_malformed``.
    """
    if not _CLASS_ID.fullmatch(class_id):
        raise Refusal(
            "class_id_malformed",
            f"{class_id!r} is not a short name of a class; use up to 40 lower-case letters, digits, - and _",
            pointer="/class_id",
            class_id=class_id,
        )


def require_seniority(seniority: int) -> None:
    """Refuse a rank outside of 0 to 100.

    Raises:
        Refusal: ``seniority_out_of_range``.
    """
    if not 0 <= seniority <= SENIORITY_MAX:
        raise Refusal(
            "seniority_out_of_range",
            f"seniority {seniority} is not a rank from 0 to {SENIORITY_MAX}",
            pointer="/seniority",
            seniority=seniority,
        )


def _require_preference(command: CreateStockClass) -> None:
    price, multiple = command.price_per_share_usd, command.liquidation_multiple
    if command.kind == "common":
        if price is not None or multiple is not None:
            raise Refusal(
                "preference_unexpected",
                f"class {command.class_id} is common and has no preference; leave price and multiple out",
                pointer="/price_per_share_usd" if price is not None else "/liquidation_multiple",
            )
        return
    if price is None or multiple is None:
        raise Refusal(
            "preference_missing",
            f"class {command.class_id} is preferred; state its original issue price and its liquidation multiple",
            pointer="/price_per_share_usd" if price is None else "/liquidation_multiple",
        )
    require_price_per_share(price, "/price_per_share_usd")
    require_usd(multiple, "/liquidation_multiple", zero=True)


def issue_stock(command: IssueStock, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the issue, unless known."""
    event = IssuerStockIssued(
        issuer_id=command.issuer_id,
        security_id=command.security_id,
        holder_id=command.holder_id,
        class_id=command.class_id,
        shares=command.shares,
        price_usd_per_share=command.price_usd_per_share,
        cause=command.cause,
        approval=command.approval,
    )
    if is_repeated("security", command.security_id, state.securities, event):
        return []
    require_stakeholder(state, command.holder_id)
    stock_class = get_class(state, command.class_id)
    require_shares(command.shares, "/shares")
    require_price_per_share(command.price_usd_per_share, "/price_usd_per_share", zero=True)
    require_authorised(stock_class, command.shares)
    return [event]


def transfer_stock(command: TransferStock, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the transfer."""
    require_stakeholder(state, command.holder_id)
    require_stakeholder(state, command.holder_id_after, "/holder_id_after")
    if command.holder_id == command.holder_id_after:
        raise Refusal(
            "transfer_to_self",
            f"{command.holder_id} is named on both sides; name who receives the shares",
            pointer="/holder_id_after",
            holder_id=command.holder_id,
        )
    get_class(state, command.class_id)
    require_shares(command.shares, "/shares")
    require_held(state, command.holder_id, command.class_id, command.shares)
    return [
        IssuerStockTransferred(
            issuer_id=command.issuer_id,
            holder_id=command.holder_id,
            holder_id_after=command.holder_id_after,
            class_id=command.class_id,
            shares=command.shares,
            approval=command.approval,
        )
    ]


def repurchase_stock(command: RepurchaseStock, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the repurchase."""
    require_stakeholder(state, command.holder_id)
    get_class(state, command.class_id)
    require_shares(command.shares, "/shares")
    require_price_per_share(command.price_usd_per_share, "/price_usd_per_share", zero=True)
    require_held(state, command.holder_id, command.class_id, command.shares)
    return [
        IssuerStockRepurchased(
            issuer_id=command.issuer_id,
            holder_id=command.holder_id,
            class_id=command.class_id,
            shares=command.shares,
            price_usd_per_share=command.price_usd_per_share,
            approval=command.approval,
        )
    ]


def split_stock(command: SplitStock, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the split; every number has to stay whole, since nobody said how fractions would be treated."""
    numerator, denominator = command.numerator, command.denominator
    for pointer, part in (("/numerator", numerator), ("/denominator", denominator)):
        if not 1 <= part <= SPLIT_MAX:
            raise Refusal("split_out_of_range", f"{pointer} is {part}; state 1 to {SPLIT_MAX}", pointer=pointer)
    if numerator == denominator:
        raise Refusal("split_changes_nothing", f"{numerator} for {denominator} changes no number of shares")
    for what, shares in _list_counts(state):
        after = Fraction(shares * numerator, denominator)
        if after.denominator != 1:
            raise Refusal(
                "split_leaves_fractions",
                f"{shares} {what} times {numerator}/{denominator} is not whole; buy back or issue the odd shares first",
                what=what,
                shares=shares,
            )
        if after > SHARES_MAX:
            raise Refusal("shares_too_many", f"{after} {what} after the split exceed {SHARES_MAX}", what=what)
    return [IssuerStockSplit(issuer_id=command.issuer_id, numerator=numerator, denominator=denominator)]


def _list_counts(state: Issuer) -> Iterable[tuple[str, int]]:
    for (holder_id, class_id), shares in sorted(state.holdings.items()):
        yield f"shares of class {class_id} held by {holder_id}", shares
    for class_id, stock_class in sorted(state.classes.items()):
        yield f"authorised shares of class {class_id}", stock_class.shares_authorised
    for option_id, option in sorted(state.options.items()):
        yield f"shares under option {option_id}", option.shares_outstanding
        yield f"shares ever under option {option_id}", option.shares
    for warrant_id, warrant in sorted(state.warrants.items()):
        yield f"shares under warrant {warrant_id}", warrant.shares_outstanding
    yield "shares of the pool", state.shares_reserved


def record_valuation(command: RecordValuation, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the valuation, unless known."""
    event = IssuerValuationRecorded(
        issuer_id=command.issuer_id,
        price_usd_per_share=command.price_usd_per_share,
        method=command.method,
        effective_on=command.effective_on,
    )
    if event in state.valuations:
        return []
    require_price_per_share(command.price_usd_per_share, "/price_usd_per_share", zero=True)
    if command.effective_on < state.formed.formed_on:
        raise Refusal(
            "date_before_formation",
            f"{command.effective_on} is before the formation on {state.formed.formed_on}",
            pointer="/effective_on",
            formed_on=state.formed.formed_on.isoformat(),
        )
    return [event]
