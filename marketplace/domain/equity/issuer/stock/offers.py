"""Shares offered under a right of first refusal: waived, exercised, withdrawn.

`marketplace.domain.equity.issuer.issuer` documents the order of refusals.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from events.issuer import (
    IssuerEvent,
    IssuerFirstRefusalExercised,
    IssuerFirstRefusalWaived,
    IssuerStockOffered,
    IssuerStockOfferWithdrawn,
    IssuerStockRepurchased,
    IssuerStockTransferred,
)
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_aware
from marketplace.core.money import require_price_per_share
from marketplace.domain.equity.issuer.rules import is_repeated, require_held, require_stakeholder
from marketplace.domain.equity.issuer.state import Issuer, Offer
from marketplace.domain.equity.issuer.stock.transfers import require_move, require_unsplit
from marketplace.domain.equity.issuer.stock_commands import (
    ExerciseFirstRefusal,
    OfferStock,
    WaiveFirstRefusal,
    WithdrawOffer,
)
from marketplace.domain.refusals import refuse_status, require_found

FIRST_REFUSAL_MIN: Final = timedelta(days=7)
"""The least time that a seller leaves to the company to decide on its right of first refusal."""


def offer_stock(command: OfferStock, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the offer; nothing if it is recorded."""
    event = IssuerStockOffered(
        issuer_id=command.issuer_id,
        transfer_id=command.transfer_id,
        holder_id=command.holder_id,
        holder_id_after=command.holder_id_after,
        class_id=command.class_id,
        shares=command.shares,
        price_usd_per_share=command.price_usd_per_share,
        decide_until=command.decide_until,
    )
    offered = {transfer_id: offer.offered for transfer_id, offer in state.offers.items()}
    if is_repeated("transfer", command.transfer_id, offered, event):
        return []
    require_move(command, state)
    require_price_per_share(command.price_usd_per_share, "/price_usd_per_share", zero=True)
    require_aware(command.decide_until, "/decide_until")
    if command.decide_until <= command.at:
        raise Refusal(
            "offer_over",
            f"the period for the right would end at {render_instant(command.decide_until)}, which has passed; state a"
            " later instant",
            pointer="/decide_until",
        )
    if command.decide_until < command.at + FIRST_REFUSAL_MIN:
        days = FIRST_REFUSAL_MIN.days
        text = f"the company has at least {days} days to decide on its right of first refusal; state a later instant"
        raise Refusal("offer_window_short", text, pointer="/decide_until", days_min=days)
    return [event]


def _get_offer(state: Issuer, transfer_id: str) -> Offer:
    return require_found("offer", transfer_id, state.offers.get(transfer_id))


def waive_first_refusal(command: WaiveFirstRefusal, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the waiver; nothing if it is recorded."""
    offer = _get_offer(state, command.transfer_id)
    if offer.status == "waived":
        return []
    if offer.status != "offered":
        raise refuse_status("offer", command.transfer_id, offer.status, "offered")
    require_unsplit(offer, state)
    return [
        IssuerFirstRefusalWaived(
            issuer_id=command.issuer_id, transfer_id=command.transfer_id, approval=command.approval
        )
    ]


def exercise_first_refusal(command: ExerciseFirstRefusal, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the exercise of the right and the resulting transfer or repurchase; nothing if it is recorded."""
    offer = _get_offer(state, command.transfer_id)
    event = IssuerFirstRefusalExercised(
        issuer_id=command.issuer_id,
        transfer_id=command.transfer_id,
        holder_id=command.holder_id,
        approval=command.approval,
    )
    if offer.status == "exercised" and _find_taker(state, command.transfer_id) == command.holder_id:
        return []
    if offer.status != "offered":
        raise refuse_status("offer", command.transfer_id, offer.status, "offered")
    require_unsplit(offer, state)
    if offer.is_past(command.at):
        raise Refusal(
            "offer_over",
            f"the right could be exercised until {render_instant(offer.offered.decide_until)} and has lapsed",
            pointer="/at",
        )
    offered = offer.offered
    if command.holder_id is None:
        require_held(state, offered.holder_id, offered.class_id, offered.shares)
        return [event, _repurchase_offered(offered, event)]
    taken = IssuerStockTransferred(
        issuer_id=command.issuer_id,
        transfer_id=command.transfer_id,
        holder_id=offered.holder_id,
        holder_id_after=command.holder_id,
        class_id=offered.class_id,
        shares=offered.shares,
        approval=command.approval,
    )
    require_stakeholder(state, command.holder_id)
    if command.holder_id == offered.holder_id:
        raise Refusal(
            "transfer_to_self",
            f"{command.holder_id} already holds the shares; name another stakeholder",
            pointer="/holder_id",
            holder_id=command.holder_id,
        )
    require_held(state, offered.holder_id, offered.class_id, offered.shares)
    return [event, taken]


def _find_taker(state: Issuer, transfer_id: str) -> str | None:
    act = state.acts.get(transfer_id)
    return act.holder_id_after if isinstance(act, IssuerStockTransferred) else None


def _repurchase_offered(offered: IssuerStockOffered, exercised: IssuerFirstRefusalExercised) -> IssuerStockRepurchased:
    return IssuerStockRepurchased(
        issuer_id=offered.issuer_id,
        repurchase_id=derive_id("rep", offered.transfer_id),
        holder_id=offered.holder_id,
        class_id=offered.class_id,
        shares=offered.shares,
        price_usd_per_share=offered.price_usd_per_share,
        cause=offered.transfer_id,
        approval=exercised.approval,
    )


def withdraw_offer(command: WithdrawOffer, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the withdrawal; nothing if it is recorded."""
    offer = _get_offer(state, command.transfer_id)
    if offer.status == "withdrawn":
        return []
    if offer.status not in {"offered", "waived"}:
        raise refuse_status("offer", command.transfer_id, offer.status, "offered or waived")
    return [
        IssuerStockOfferWithdrawn(issuer_id=command.issuer_id, transfer_id=command.transfer_id, reason=command.reason)
    ]
