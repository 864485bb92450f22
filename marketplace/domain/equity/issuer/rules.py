"""Checks that several acts of an issuer share."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final, Protocol

from events.financing import ConvertingInstrument, Participation, PriceProtection, ProtectionBasis
from events.issuer import (
    IssuerAuthorisedSharesAdjusted,
    IssuerDistributionPaid,
    IssuerFinancingPriced,
    IssuerLiquidityDeclared,
)
from events.registry import render_body
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.money import parse_ratio, require_usd
from marketplace.domain.equity.issuer.state import SENIORITY_MAX, Financing, Issuer, StockClass
from marketplace.domain.refusals import refuse_exists, refuse_status, require_found

SHARES_MAX: Final = 10**15
CALCULATION_BYTES_MAX: Final = 7 * 1024 * 1024
"""The largest calculation of a round or a sale with its certificate; a larger one would not fit the log's messages."""
CLASS_IDS_RESERVED: Final = frozenset({"commitments", "instruments", "options", "pool", "warrants"})
"""Kinds of securities: sums of payouts and groups of a vote have these names."""
_CLASS_ID: Final = re.compile(r"(?!(?:ins|opt|wrt|unrelated)_)[a-z0-9][a-z0-9_-]{0,39}")


class Preference(Protocol):
    """The terms of preferred stock on participation and price protection."""

    @property
    def participation(self) -> Participation: ...  # noqa: D102
    @property
    def participation_cap_multiple(self) -> Decimal | None: ...  # noqa: D102
    @property
    def price_protection(self) -> PriceProtection | None: ...  # noqa: D102
    @property
    def protection_basis(self) -> ProtectionBasis | None: ...  # noqa: D102


def require_fits(event: IssuerFinancingPriced | IssuerLiquidityDeclared | IssuerDistributionPaid) -> None:
    """Refuse the calculation of a round or a sale if it is too large to be stored.

    Raises:
        Refusal: ``calculation_too_large``.
    """
    size = len(render_body(event))
    if size > CALCULATION_BYTES_MAX:
        raise Refusal(
            "calculation_too_large",
            f"the calculation and its certificate have {size} bytes; at most {CALCULATION_BYTES_MAX} are stored. Each "
            "instrument and each of its accruals is a row of it: convert, repay or cancel some instruments before",
            pointer="/instruments",
            bytes_max=CALCULATION_BYTES_MAX,
        )


def is_repeated(aggregate: str, id: str, known: Mapping[str, object], event: object) -> bool:  # noqa: A002
    """Return whether `known` has this event under its id.

    Raises:
        Refusal: ``<aggregate>_exists`` if it is there with other content.
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
            f"{pointer} is {shares}; the maximum is {SHARES_MAX}",
            pointer=pointer,
            shares=shares,
            shares_max=SHARES_MAX,
        )


def require_formed(state: Issuer, day: date, pointer: str) -> None:
    """Refuse a day before the company was formed.

    Raises:
        Refusal: ``date_before_formation``.
    """
    formed_on = state.formed.formed_on
    if day < formed_on:
        text = f"{day} is before the formation on {formed_on}; state that day or a later one"
        raise Refusal("date_before_formation", text, pointer=pointer, formed_on=formed_on.isoformat())


def require_stakeholder(state: Issuer, holder_id: str, pointer: str = "/holder_id") -> None:
    """Refuse a holder who is not a stakeholder.

    Raises:
        Refusal: ``stakeholder_unknown``.
    """
    if holder_id not in state.stakeholders:
        raise Refusal(
            "stakeholder_unknown",
            f"{holder_id} is not a stakeholder of {state.formed.issuer_id}; add it first, as a stakeholder with this"
            " holder_id",
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
                f"{state.formed.issuer_id} has no signed instrument {instrument.instrument_id} with"
                f" {instrument.holder_id}; sign it first",
                pointer=f"/instruments/{index}",
                instrument_id=instrument.instrument_id,
                holder_id=instrument.holder_id,
            )


def get_class(state: Issuer, class_id: str, kinds: Sequence[str] = ("common", "preferred")) -> StockClass:
    """Return a class of stock, which must be of one of the given kinds.

    Raises:
        Refusal: ``stock_class_unknown``, ``stock_class_not_common`` or ``stock_class_not_preferred``.
    """
    stock_class = require_found("stock_class", class_id, state.classes.get(class_id))
    if stock_class.created.kind not in kinds:
        raise Refusal(
            f"stock_class_not_{next(iter(kinds))}",
            f"class {class_id} is {stock_class.created.kind}; this needs {next(iter(kinds))} stock",
            pointer="/class_id",
            class_id=class_id,
        )
    return stock_class


def is_main_class(state: Issuer, class_id: str) -> bool:
    """Return whether a class is the largest one of common stock, so that who joins it takes over no small class."""
    counts = [each.shares_outstanding for each in state.classes.values() if each.created.kind == "common"]
    stock_class = state.classes[class_id]
    return stock_class.created.kind == "common" and stock_class.shares_outstanding == max(counts)


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


def raise_authorised(state: Issuer, class_id: str, shares: int, cause: str) -> list[IssuerAuthorisedSharesAdjusted]:
    """Return the rise of a class's authorised shares that an exercise, a conversion or stock that was paid for needs.

    Empty if none is needed. The company agreed to the right, so that it cannot withhold the shares.
    """
    stock_class = state.classes[class_id]
    needed = stock_class.shares_outstanding + shares
    if needed <= stock_class.shares_authorised:
        return []
    return [
        IssuerAuthorisedSharesAdjusted(
            issuer_id=state.formed.issuer_id, class_id=class_id, shares_authorised=needed, cause=cause
        )
    ]


def require_held(state: Issuer, holder_id: str, class_id: str, shares: int) -> None:
    """Refuse to move more shares of a class than a holder has.

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


def require_class_id(class_id: str) -> None:
    """Refuse a malformed name of a class, and one that reads like another security or a group of a vote.

    Raises:
        Refusal: ``class_id_malformed``.
    """
    if not _CLASS_ID.fullmatch(class_id) or class_id in CLASS_IDS_RESERVED:
        raise Refusal(
            "class_id_malformed",
            f"{class_id!r} is not a valid class id; use up to 40 lower-case letters, digits, - and _, not commitments,"
            " instruments, options, pool or warrants, and no ins_, opt_, wrt_ or unrelated_ at the start",
            pointer="/class_id",
            class_id=class_id,
        )


def require_days(days: int, days_max: int, pointer: str) -> None:
    """Refuse a number of days, in which a round closes or a sale is paid, outside of 1 to `days_max`.

    Raises:
        Refusal: ``days_out_of_range``.
    """
    if not 1 <= days <= days_max:
        text = f"state 1 to {days_max} days, not {days}"
        raise Refusal("days_out_of_range", text, pointer=pointer, days=days, days_max=days_max)


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


def require_protection(terms: Preference, pointer: str = "") -> None:
    """Refuse capped participation without a cap, a weighted average without its basis, and a cap or basis without use.

    Raises:
        Refusal: ``missing_convention``, ``participation_cap_unexpected``, ``protection_basis_unexpected``, or those of
            an amount.
    """
    if terms.participation == "capped" and terms.participation_cap_multiple is None:
        raise refuse_missing("participation_cap_multiple", "the cap per dollar of issue price", pointer)
    if terms.participation_cap_multiple is not None:
        if terms.participation != "capped":
            raise Refusal(
                "participation_cap_unexpected",
                f"participation is {terms.participation}; only capped participation has a cap",
                pointer=f"{pointer}/participation_cap_multiple",
            )
        require_usd(terms.participation_cap_multiple, f"{pointer}/participation_cap_multiple")
    if terms.price_protection == "weighted_average" and terms.protection_basis is None:
        raise refuse_missing("protection_basis", "outstanding, outstanding_and_options or fully_diluted", pointer)
    if terms.price_protection != "weighted_average" and terms.protection_basis is not None:
        raise Refusal(
            "protection_basis_unexpected",
            "only a weighted average counts shares before the issue; leave protection_basis out",
            pointer=f"{pointer}/protection_basis",
        )


def refuse_missing(convention: str, what: str, pointer: str) -> Refusal:
    """Return the refusal for a convention that was not stated: ``missing_convention``."""
    return Refusal(
        "missing_convention",
        f"{convention} is missing, and the result depends on it; state {what}",
        pointer=f"{pointer}/{convention}",
        convention=convention,
    )


def refuse_overdrawn(aggregate: str, id: str, shares: int, left: int) -> Refusal:  # noqa: A002 - the field's word
    """Return the refusal for using more shares of a right than are left: ``<aggregate>_overdrawn``."""
    return Refusal(
        f"{aggregate}_overdrawn",
        f"{aggregate} {id} has {left} shares left, not {shares}",
        pointer="/shares",
        id=id,
        shares=shares,
        shares_left=left,
    )


def get_financing(state: Issuer, financing_id: str) -> Financing:
    """Return a round of the issuer.

    Raises:
        Refusal: ``financing_unknown``.
    """
    return require_found("financing", financing_id, state.financings.get(financing_id))


def require_open(financing: Financing) -> None:
    """Refuse to change a round that is closed or abandoned.

    Raises:
        Refusal: ``financing_closed`` or ``financing_abandoned``.
    """
    if financing.status != "open":
        raise refuse_status("financing", financing.opened.financing_id, financing.status, "open")


def require_no_sale(state: Issuer, *, ends_at: datetime | None = None) -> None:
    """Refuse what changes the shares that a sale counts while it is declared and not paid.

    Args:
        state: The issuer.
        ends_at: When a right to exercise ends. One that ends before the sale may be paid is not refused.

    Raises:
        Refusal: ``sale_declared``.
    """
    if state.liquidity_id is None or state.is_ended:
        return
    until = state.sales[state.liquidity_id].declared.pay_until
    if ends_at is None or ends_at >= until:
        raise Refusal(
            "sale_declared",
            f"liquidity event {state.liquidity_id} is declared and may be paid until {render_instant(until)}; its"
            " waterfall counts all shares and rights as they are; withdraw it, with the votes of the security holders,"
            " or wait until then",
            liquidity_id=state.liquidity_id,
            pay_until=render_instant(until),
        )


def require_counted(
    state: Issuer,
    right_id: str,
    shares: int,
    class_id: str,
    *,
    ends_at: datetime | None,
    fair_usd: Decimal | None = None,
) -> None:
    """Refuse an exercise beside a declared sale that its waterfall does not count.

    Only an option or a warrant that ends before the sale may be paid is exercised beside it: for common stock, no more
    rights than the waterfall counts, and at no higher fair value than the sale pays, so that nobody else gets less.

    Args:
        state: The issuer.
        right_id: The option or the warrant.
        shares: How many rights are exercised.
        class_id: The stock that they buy.
        ends_at: When the right to exercise ends; None: never.
        fair_usd: The value of a share in a net exercise; None: for cash.

    Raises:
        Refusal: ``sale_declared``.
    """
    sale = state.find_sale()
    if sale is None:
        return
    waterfall = sale.declared.waterfall
    rows = (row.shares or 0 for row in waterfall.payouts if row.security == right_id)
    left = sum(rows) - sum(each.rights for each in sale.exercised if each.right_id == right_id)
    is_dear = fair_usd is not None and fair_usd > parse_ratio(waterfall.price_per_common_share_exact)
    if shares > left or is_dear or state.classes[class_id].price_usd is not None:
        require_no_sale(state)
    require_no_sale(state, ends_at=ends_at)


def require_no_financing(state: Issuer) -> None:
    """Refuse to begin a financing, a sale or a split while a financing is open.

    Raises:
        Refusal: ``financing_open``.
    """
    current = state.find_open_financing()
    if current is not None:
        raise Refusal(
            "financing_open",
            f"{current.opened.name} ({current.opened.financing_id}) is open; close or abandon it first",
            financing_id=current.opened.financing_id,
        )
