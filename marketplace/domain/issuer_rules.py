"""Checks that several acts of an issuer share."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from events.financing import ConvertingInstrument
from marketplace.core.errors import Refusal
from marketplace.domain.issuer_state import Issuer, StockClass
from marketplace.domain.refusals import refuse_exists, refuse_unknown

SHARES_MAX: Final = 10**15


def is_repeated(aggregate: str, id: str, known: Mapping[str, object], event: object) -> bool:  # noqa: A002
    """Tell whether an event with this id stands in the log already.

    Raises:
        Refusal: ``<aggregate>_exists`` where it stands there with other content.
    """
    if id not in known:
        return False
    if known[id] == event:
        return True
    raise refuse_exists(aggregate, id)


def require_shares(shares: int, pointer: str, *, zero: bool = False) -> None:
    """Refuse a number of shares outside of 1 (or 0) to 10^15.

    Raises:
        Refusal: ``shares_not_positive`` or ``shares_too_many``.
    """
    if shares < (0 if zero else 1):
        raise Refusal(
            "shares_not_positive",
            f"{pointer} is {shares}; state {0 if zero else 1} share or more",
            pointer=pointer,
            shares=shares,
        )
    if shares > SHARES_MAX:
        raise Refusal(
            "shares_too_many",
            f"{pointer} is {shares}; the most is {SHARES_MAX}",
            pointer=pointer,
            shares=shares,
            shares_max=SHARES_MAX,
        )


def require_stakeholder(state: Issuer, holder_id: str, pointer: str = "/holder_id") -> None:
    """Refuse a holder who is not a stakeholder.

    Raises:
        Refusal: ``stakeholder_unknown``.
    """
    if holder_id not in state.stakeholders:
        raise Refusal(
            "stakeholder_unknown",
            f"{holder_id} is not a stakeholder of {state.formed.issuer_id}; add them first",
            pointer=pointer,
            holder_id=holder_id,
        )


def require_signed(state: Issuer, instruments: Iterable[ConvertingInstrument]) -> None:
    """Refuse instruments that are not the issuer's.

    Raises:
        Refusal: ``instrument_unsigned``.
    """
    for index, instrument in enumerate(instruments):
        signed = state.instruments.get(instrument.instrument_id)
        if signed is None or signed.holder_id != instrument.holder_id:
            raise Refusal(
                "instrument_unsigned",
                f"{state.formed.issuer_id} has signed no {instrument.instrument_id} with {instrument.holder_id}",
                pointer=f"/instruments/{index}",
                instrument_id=instrument.instrument_id,
                holder_id=instrument.holder_id,
            )


def get_class(state: Issuer, class_id: str, kinds: Collection[str] = ("common", "preferred")) -> StockClass:
    """Return a class of stock of one of some kinds.

    Raises:
        Refusal: ``stock_class_unknown`` or ``stock_class_not_common``.
    """
    stock_class = state.classes.get(class_id)
    if stock_class is None:
        raise refuse_unknown("stock_class", class_id)
    if stock_class.created.kind not in kinds:
        raise Refusal(
            "stock_class_not_common",
            f"class {class_id} is {stock_class.created.kind}; an option buys common stock",
            pointer="/class_id",
            class_id=class_id,
        )
    return stock_class


def require_authorised(stock_class: StockClass, shares: int) -> None:
    """Refuse to issue more than is authorised.

    Raises:
        Refusal: ``stock_class_over_authorised``.
    """
    left = stock_class.shares_authorised - stock_class.shares_outstanding
    if shares > left:
        raise Refusal(
            "stock_class_over_authorised",
            f"class {stock_class.created.class_id} has {stock_class.shares_outstanding} shares outstanding of "
            f"{stock_class.shares_authorised} authorised; {shares} more cannot be issued, at most {left}",
            pointer="/shares",
            class_id=stock_class.created.class_id,
            shares=shares,
            shares_left=left,
        )


def require_held(state: Issuer, holder_id: str, class_id: str, shares: int) -> None:
    """Refuse to move more than a holder has.

    Raises:
        Refusal: ``shares_not_held``.
    """
    held = state.holdings.get((holder_id, class_id), 0)
    if shares > held:
        raise Refusal(
            "shares_not_held",
            f"{holder_id} holds {held} shares of class {class_id}, not {shares}",
            pointer="/shares",
            holder_id=holder_id,
            class_id=class_id,
            shares=shares,
            shares_held=held,
        )
