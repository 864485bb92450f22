"""Transfers and repurchases of shares, with the right of first refusal.

`marketplace.domain.equity.issuer.issuer` documents the order of refusals.
"""

from collections.abc import Sequence
from typing import Final

from events.issuer import (
    IssuerEvent,
    IssuerStockRepurchased,
    IssuerStockTransferred,
)
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.money import require_price_per_share
from marketplace.domain.equity.issuer.rules import (
    get_class,
    is_repeated,
    require_held,
    require_shares,
    require_stakeholder,
)
from marketplace.domain.equity.issuer.state import Issuer, Offer
from marketplace.domain.equity.issuer.stock_commands import OfferStock, RepurchaseStock, TransferStock
from marketplace.domain.refusals import refuse_status

_MATCHED: Final = ("holder_id", "holder_id_after", "class_id", "shares")


def require_move(command: OfferStock | TransferStock, state: Issuer) -> None:
    """Refuse an impossible move of shares, offered or made.

    Raises:
        Refusal: ``stakeholder_unknown`` · ``transfer_to_self`` · ``stock_class_unknown`` · ``shares_not_positive`` ·
            ``shares_too_many`` · ``shares_not_held``.
    """
    require_stakeholder(state, command.holder_id)
    require_stakeholder(state, command.holder_id_after, "/holder_id_after")
    if command.holder_id == command.holder_id_after:
        raise Refusal(
            "transfer_to_self",
            f"{command.holder_id} is both sender and receiver; name another receiver",
            pointer="/holder_id_after",
            holder_id=command.holder_id,
        )
    get_class(state, command.class_id)
    require_shares(command.shares, "/shares")
    require_held(state, command.holder_id, command.class_id, command.shares)


def transfer_stock(command: TransferStock, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the transfer; nothing if it is recorded.

    Where the class has a right of first refusal, the shares were offered, and the right was waived or has lapsed.
    """
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
    require_move(command, state)
    offer = state.offers.get(command.transfer_id)
    if offer is not None:
        _require_waived(command, offer, state)
    elif get_class(state, command.class_id).created.first_refusal:
        raise Refusal(
            "first_refusal_unanswered",
            f"class {command.class_id} has a right of first refusal; offer the shares first, and transfer them with "
            "the id of the offer",
            pointer="/transfer_id",
            class_id=command.class_id,
        )
    return [event]


def require_unsplit(offer: Offer, state: Issuer) -> None:
    """Refuse an offer whose number and price are of shares before a split.

    Raises:
        Refusal: ``offer_split``.
    """
    if offer.split_ratio != state.split_ratio:
        transfer_id = offer.offered.transfer_id
        raise Refusal(
            "offer_split",
            f"the stock was split since {transfer_id} was offered, which changed the number of shares and the price;"
            " withdraw it and offer the shares again",
            transfer_id=transfer_id,
        )


def _require_waived(command: TransferStock, offer: Offer, state: Issuer) -> None:
    if offer.status in {"exercised", "withdrawn"}:
        raise refuse_status("offer", command.transfer_id, offer.status, "waived")
    require_unsplit(offer, state)
    for name in _MATCHED:
        if getattr(command, name) != getattr(offer.offered, name):
            raise Refusal(
                "transfer_differs",
                f"{name} is {getattr(command, name)}, but {getattr(offer.offered, name)} was offered; make a new offer",
                pointer=f"/{name}",
            )
    if offer.status == "offered" and not offer.is_past(command.at):
        raise Refusal(
            "first_refusal_unanswered",
            f"the right of first refusal may be exercised until {render_instant(offer.offered.decide_until)} and is not"
            " waived",
            pointer="/transfer_id",
            decide_until=render_instant(offer.offered.decide_until),
        )


def repurchase_stock(command: RepurchaseStock, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the repurchase; nothing if it is recorded."""
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
