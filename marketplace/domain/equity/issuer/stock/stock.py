"""Acts on stakeholders, classes and shares; `marketplace.domain.equity.issuer.issuer` documents the refusals."""

import re
from collections.abc import Sequence

import msgspec

from events.issuer import (
    IssuerAuthorisedSharesAdjusted,
    IssuerEvent,
    IssuerStakeholderAdded,
    IssuerStockClassCreated,
    IssuerStockIssued,
    IssuerValuationRecorded,
)
from marketplace.core.errors import Refusal
from marketplace.core.money import require_price_per_share, require_usd
from marketplace.domain.equity.issuer.commands import AddStakeholder, RecordValuation
from marketplace.domain.equity.issuer.rules import (
    get_class,
    is_repeated,
    require_authorised,
    require_class_id,
    require_formed,
    require_protection,
    require_seniority,
    require_shares,
    require_stakeholder,
)
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.equity.issuer.stock_commands import AdjustAuthorisedShares, CreateStockClass, IssueStock
from marketplace.domain.refusals import refuse_exists


def add_stakeholder(command: AddStakeholder, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the stakeholder; nothing if it is recorded."""
    event = IssuerStakeholderAdded(
        issuer_id=command.issuer_id, holder_id=command.holder_id, name=command.name, kind=command.kind
    )
    return [] if is_repeated("stakeholder", command.holder_id, state.stakeholders, event) else [event]


def create_class(command: CreateStockClass, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the class; nothing if it is recorded."""
    event = IssuerStockClassCreated(**msgspec.structs.asdict(command))
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
    """Return whether a round with `round_class_id` may create this class for instruments at another price."""
    return re.fullmatch(rf"{re.escape(round_class_id)}(-[0-9]+)?", class_id) is not None


def _require_preference(command: CreateStockClass) -> None:
    price, multiple = command.price_per_share_usd, command.liquidation_multiple
    if command.kind == "common":
        if price is not None or multiple is not None:
            raise _refuse_preference(command, "/price_per_share_usd" if price is not None else "/liquidation_multiple")
        if command.participation != "none" or command.price_protection is not None:
            raise _refuse_preference(
                command, "/participation" if command.participation != "none" else "/price_protection"
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
    require_protection(command)


def _refuse_preference(command: CreateStockClass, pointer: str) -> Refusal:
    return Refusal(
        "preference_unexpected",
        f"class {command.class_id} is common and has no preference; leave out {pointer[1:]}",
        pointer=pointer,
    )


def adjust_authorised(command: AdjustAuthorisedShares, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the new maximum of a class; nothing if it is recorded."""
    stock_class = get_class(state, command.class_id)
    require_shares(command.shares_authorised, "/shares_authorised")
    if command.shares_authorised == stock_class.shares_authorised:
        return []
    if command.shares_authorised < stock_class.shares_outstanding:
        raise Refusal(
            "authorised_below_outstanding",
            f"class {command.class_id} has {stock_class.shares_outstanding} shares outstanding; "
            f"{command.shares_authorised} authorised are too few",
            pointer="/shares_authorised",
            shares_outstanding=stock_class.shares_outstanding,
        )
    return [
        IssuerAuthorisedSharesAdjusted(
            issuer_id=command.issuer_id,
            class_id=command.class_id,
            shares_authorised=command.shares_authorised,
            cause=command.cause,
            approval=command.approval,
        )
    ]


def issue_stock(command: IssueStock, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the issue; nothing if it is recorded."""
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


def record_valuation(command: RecordValuation, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the valuation; nothing if it is recorded."""
    event = IssuerValuationRecorded(
        issuer_id=command.issuer_id,
        price_usd_per_share=command.price_usd_per_share,
        method=command.method,
        effective_on=command.effective_on,
        recorded_by=command.recorded_by,
    )
    if event in state.valuations:
        return []
    require_price_per_share(command.price_usd_per_share, "/price_usd_per_share", zero=True)
    require_formed(state, command.effective_on, "/effective_on")
    if command.on_day is not None and command.effective_on > command.on_day:
        raise Refusal(
            "valuation_in_future",
            f"a valuation of {command.effective_on} is not known on {command.on_day}; record it on its day",
            pointer="/effective_on",
        )
    return [event]
