"""Shares that change hands: offered, refused first, transferred, bought back, converted.

`marketplace.domain.issuer` documents the order of refusals.
"""

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from typing import Final

from events.issuer import (
    IssuerEvent,
    IssuerFirstRefusalExercised,
    IssuerFirstRefusalWaived,
    IssuerStockConverted,
    IssuerStockOffered,
    IssuerStockOfferWithdrawn,
    IssuerStockRepurchased,
    IssuerStockTransferred,
)
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.core.money import render_ratio, require_price_per_share
from marketplace.core.rounding import round_whole
from marketplace.domain.issuer_commands import (
    ConvertStock,
    ExerciseFirstRefusal,
    OfferStock,
    RepurchaseStock,
    TransferStock,
    WaiveFirstRefusal,
    WithdrawOffer,
)
from marketplace.domain.issuer_rules import (
    get_class,
    is_repeated,
    require_authorised,
    require_held,
    require_shares,
    require_stakeholder,
)
from marketplace.domain.issuer_state import Issuer, Offer
from marketplace.domain.refusals import refuse_status, refuse_unknown, require_aware

_MATCHED: Final = ("holder_id", "holder_id_after", "class_id", "shares")


def offer_stock(command: OfferStock, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the offer, unless known."""
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
    _require_move(command, state)
    require_price_per_share(command.price_usd_per_share, "/price_usd_per_share", zero=True)
    require_aware(command.decide_until, "/decide_until")
    if command.decide_until <= command.at:
        raise Refusal(
            "offer_over",
            f"the right could be exercised until {command.decide_until.isoformat()}, which is past",
            pointer="/decide_until",
        )
    return [event]


def _require_move(command: OfferStock | TransferStock, state: Issuer) -> None:
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


def _get_offer(state: Issuer, transfer_id: str) -> Offer:
    offer = state.offers.get(transfer_id)
    if offer is None:
        raise refuse_unknown("offer", transfer_id)
    return offer


def waive_first_refusal(command: WaiveFirstRefusal, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the waiver, unless known."""
    offer = _get_offer(state, command.transfer_id)
    if offer.status == "waived":
        return []
    if offer.status != "offered":
        raise refuse_status("offer", command.transfer_id, offer.status, "offered")
    return [
        IssuerFirstRefusalWaived(
            issuer_id=command.issuer_id, transfer_id=command.transfer_id, approval=command.approval
        )
    ]


def exercise_first_refusal(command: ExerciseFirstRefusal, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the exercise of the right, and the transfer or repurchase that it is, unless known."""
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
    if command.at > offer.offered.decide_until:
        raise Refusal(
            "offer_over",
            f"the right could be exercised until {offer.offered.decide_until.isoformat()}; silence waived it",
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
            f"{command.holder_id} holds the shares already; name who takes them",
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
    """Return the withdrawal, unless known."""
    offer = _get_offer(state, command.transfer_id)
    if offer.status == "withdrawn":
        return []
    if offer.status not in {"offered", "waived"}:
        raise refuse_status("offer", command.transfer_id, offer.status, "offered or waived")
    return [
        IssuerStockOfferWithdrawn(issuer_id=command.issuer_id, transfer_id=command.transfer_id, reason=command.reason)
    ]


def transfer_stock(command: TransferStock, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the transfer, unless known; where the class has a right of first refusal, after it was waived."""
    event = IssuerStockTransferred(
        issuer_id=command.issuer_id,
        transfer_id=command.transfer_id,
        holder_id=command.holder_id,
        holder_id_after=command.holder_id_after,
        class_id=command.class_id,
        shares=command.shares,
        approval=command.approval,
    )
    if is_repeated("transfer", command.transfer_id, state.acts, event):
        return []
    _require_move(command, state)
    offer = state.offers.get(command.transfer_id)
    if offer is not None:
        _require_waived(command, offer, command.at)
    elif get_class(state, command.class_id).created.first_refusal:
        raise Refusal(
            "first_refusal_unanswered",
            f"class {command.class_id} has a right of first refusal; offer the shares first, and transfer them under "
            "the id of the offer",
            pointer="/transfer_id",
            class_id=command.class_id,
        )
    return [event]


def _require_waived(command: TransferStock, offer: Offer, at: datetime) -> None:
    if offer.status in {"exercised", "withdrawn"}:
        raise refuse_status("offer", command.transfer_id, offer.status, "waived")
    for name in _MATCHED:
        if getattr(command, name) != getattr(offer.offered, name):
            raise Refusal(
                "transfer_differs",
                f"{name} is {getattr(command, name)}, but {getattr(offer.offered, name)} was offered; offer it anew",
                pointer=f"/{name}",
            )
    if offer.status == "offered" and at <= offer.offered.decide_until:
        raise Refusal(
            "first_refusal_unanswered",
            f"the right may be exercised until {offer.offered.decide_until.isoformat()} and was not waived",
            pointer="/transfer_id",
            decide_until=offer.offered.decide_until.isoformat(),
        )


def repurchase_stock(command: RepurchaseStock, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the repurchase, unless known."""
    event = IssuerStockRepurchased(
        issuer_id=command.issuer_id,
        repurchase_id=command.repurchase_id,
        holder_id=command.holder_id,
        class_id=command.class_id,
        shares=command.shares,
        price_usd_per_share=command.price_usd_per_share,
        cause=command.cause,
        approval=command.approval,
    )
    if is_repeated("repurchase", command.repurchase_id, state.acts, event):
        return []
    require_stakeholder(state, command.holder_id)
    get_class(state, command.class_id)
    require_shares(command.shares, "/shares")
    require_price_per_share(command.price_usd_per_share, "/price_usd_per_share", zero=True)
    require_held(state, command.holder_id, command.class_id, command.shares)
    return [event]


def convert_stock(command: ConvertStock, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the conversion of preferred stock at its conversion price, unless known."""
    known = state.acts.get(command.conversion_id)
    if isinstance(known, IssuerStockConverted) and all(
        getattr(known, name) == getattr(command, name) for name in ("holder_id", "class_id", "shares", "class_id_after")
    ):
        return []
    require_stakeholder(state, command.holder_id)
    stock_class = get_class(state, command.class_id, ("preferred",))
    assert stock_class.price_usd is not None, "preferred stock has an issue price"
    assert stock_class.conversion_price_usd is not None, "preferred stock has a conversion price"
    common = get_class(state, command.class_id_after, ("common",))
    require_shares(command.shares, "/shares")
    require_held(state, command.holder_id, command.class_id, command.shares)
    exact = Fraction(command.shares) * stock_class.price_usd / stock_class.conversion_price_usd
    shares = round_whole(exact, "floor")
    require_authorised(common, shares)
    return [
        IssuerStockConverted(
            issuer_id=command.issuer_id,
            conversion_id=command.conversion_id,
            holder_id=command.holder_id,
            class_id=command.class_id,
            shares=command.shares,
            class_id_after=command.class_id_after,
            shares_exact=render_ratio(exact),
            shares_after=shares,
            reason="voluntary",
        )
    ]
