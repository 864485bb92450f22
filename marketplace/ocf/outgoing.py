"""Renders an issuer's history as the objects of a package.

Each tranche is a convertible issuance of its own, since a convertible cannot grow in OCF. The sidecar keeps what OCF
cannot express: terms of drawdown, certificates, abandoned rounds, and exact prices after splits.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import msgspec
from msgspec import UNSET

from events import issuer as issuers
from events.financing import Approval
from marketplace.captable.history import History
from marketplace.ocf import objects as ocf
from marketplace.ocf import transactions as tx
from marketplace.ocf.lots import Lot
from marketplace.ocf.numbers import render_money, render_number
from marketplace.ocf.outgoing_convertibles import Convertibles
from marketplace.ocf.outgoing_rights import RIGHTS, round_warrants_down
from marketplace.ocf.values import Ratio
from marketplace.ocf.writing import PLAN_ID, Writing, render_comments, render_stakeholder

_VOTES_NOTE: Final = "The marketplace keeps no votes; one vote per share is stated since OCF asks for a number."

_PARTICIPATION_NOTE: Final = "It takes its part of the rest beside its preference, without a cap."


def render_objects(history: History) -> tuple[Writing, tuple[ocf.Financing, ...]]:
    """Return all objects of a package of this history, and its financings.

    Args:
        history: The history of the issuer; its ids become those of the package.
    """
    out = Writing()
    stock = [act.event for act in history.acts if isinstance(act.event, issuers.IssuerStockIssued)]
    convertibles = Convertibles(stock)
    for act in history.acts:
        out.day = act.time.date()
        handle = _HANDLERS.get(type(act.event))
        if handle is not None:
            handle(out, act.event)
        else:
            convertibles.record(out, act.event)
    _name_classes_of_plan(out)
    return out, tuple(_list_financings(out))


def _name_classes_of_plan(out: Writing) -> None:
    """Name the pool's classes, common ones if there are any; OCF has no pool without a class."""
    if out.plan is None:
        return
    common = tuple(class_id for class_id, each in out.classes.items() if each.class_type == "COMMON")
    classes = common or tuple(out.classes)
    out.plan = msgspec.structs.replace(out.plan, stock_class_ids=classes) if classes else None
    if not classes:
        out.transactions = [each for each in out.transactions if not isinstance(each, tx.PlanAdjustment)]


def _list_financings(out: Writing) -> list[ocf.Financing]:
    """Return the closed rounds under which something was issued."""
    financings = []
    for financing_id, day in out.closed.items():
        issuances = tuple(transaction_id for event, transaction_id in out.issued if event.cause == financing_id)
        if issuances:
            name = out.names[financing_id]
            financings.append(ocf.Financing(id=financing_id, name=name, issuance_ids=issuances, date=day))
    return financings


def _form(out: Writing, event: issuers.IssuerFormed) -> None:
    out.issuer = ocf.Issuer(
        id=event.issuer_id,
        legal_name=event.legal_name,
        formation_date=event.formed_on,
        country_of_formation=event.jurisdiction,
    )


def _add_stakeholder(out: Writing, event: issuers.IssuerStakeholderAdded) -> None:
    out.stakeholders[event.holder_id] = render_stakeholder(event.holder_id, event.name, event.kind)


def _create_class(out: Writing, event: issuers.IssuerStockClassCreated) -> None:
    preferred = event.kind == "preferred"
    out.authorised[event.class_id] = event.shares_authorised
    out.classes[event.class_id] = ocf.StockClass(
        id=event.class_id,
        comments=(_VOTES_NOTE, *((_PARTICIPATION_NOTE,) if event.participation == "full" else ())),
        name=event.class_id,
        class_type="PREFERRED" if preferred else "COMMON",
        default_id_prefix=f"{event.class_id.upper()}-",
        initial_shares_authorized=render_number(event.shares_authorised),
        votes_per_share="1",
        seniority=render_number(event.seniority),
        price_per_share=UNSET if event.price_per_share_usd is None else render_money(event.price_per_share_usd),
        liquidation_preference_multiple=(
            UNSET if event.liquidation_multiple is None else render_number(event.liquidation_multiple)
        ),
        participation_cap_multiple=(
            UNSET if event.participation_cap_multiple is None else render_number(event.participation_cap_multiple)
        ),
    )


def _adjust_plan(out: Writing, event: issuers.IssuerStockPlanAdjusted) -> None:
    """Write the size of the pool in the plan, or as an adjustment if the plan exists or a split came before."""
    out.shares_reserved = event.shares_reserved
    later = out.plan is not None or any(isinstance(each, tx.StockClassSplit) for each in out.transactions)
    if out.plan is None:
        out.plan = ocf.StockPlan(
            id=PLAN_ID,
            comments=UNSET if later else render_comments(event.approval),
            plan_name="Pool",
            initial_shares_reserved="0" if later else render_number(event.shares_reserved),
            stock_class_ids=(),
        )
    if later:
        _write_plan(out, event.approval)


def _write_plan(out: Writing, approval: Approval | None) -> None:
    out.transactions.append(
        tx.PlanAdjustment(
            **out.number(),
            comments=render_comments(approval),
            stock_plan_id=PLAN_ID,
            shares_reserved=render_number(out.shares_reserved),
        )
    )


def _issue_stock(out: Writing, event: issuers.IssuerStockIssued) -> None:
    lot = Lot(event.security_id, event.shares, event.price_usd_per_share)
    out.issued.append((event, out.issue_stock(event.holder_id, event.class_id, lot, event.approval)))


def _transfer(out: Writing, event: issuers.IssuerStockTransferred) -> None:
    for taken in list(out.lots.take(event.holder_id, event.class_id, event.shares)):
        result = Lot(out.number_result(), taken.shares, taken.lot.price_usd)
        balance_id = taken.balance.security_id if taken.balance is not None else UNSET
        out.transactions.append(
            tx.StockTransfer(
                **out.number(),
                comments=render_comments(event.approval),
                security_id=taken.lot.security_id,
                quantity=render_number(taken.shares),
                resulting_security_ids=(result.security_id,),
                balance_security_id=balance_id,
            )
        )
        out.issue_stock(event.holder_id_after, event.class_id, result)
        if taken.balance is not None:
            out.write_issuance(event.holder_id, event.class_id, taken.balance)


def _repurchase(out: Writing, event: issuers.IssuerStockRepurchased) -> None:
    """Write a repurchase; one without payment is a cancellation in OCF."""
    for taken in list(out.lots.take(event.holder_id, event.class_id, event.shares)):
        fields: dict[str, Any] = {
            **out.number(),
            "comments": render_comments(event.approval),
            "security_id": taken.lot.security_id,
            "quantity": render_number(taken.shares),
            "balance_security_id": taken.balance.security_id if taken.balance is not None else UNSET,
        }
        if event.price_usd_per_share:
            out.transactions.append(tx.StockRepurchase(**fields, price=render_money(event.price_usd_per_share)))
        else:
            out.transactions.append(tx.StockCancellation(**fields, reason_text=_render_reason(event.cause)))
        if taken.balance is not None:
            out.write_issuance(event.holder_id, event.class_id, taken.balance)


def _render_reason(cause: str | None) -> str:
    return "Given back for nothing" if cause is None else f"Clawed back: principal of {cause} was taken back"


def _split(out: Writing, event: issuers.IssuerStockSplit) -> None:
    ratio = Fraction(event.numerator, event.denominator)
    _merge_odd_lots(out, ratio)
    round_warrants_down(out, ratio)
    for class_id in sorted(out.classes):
        out.authorised[class_id] = int(out.authorised[class_id] * ratio)
        split_ratio = Ratio(numerator=str(event.numerator), denominator=str(event.denominator))
        out.transactions.append(tx.StockClassSplit(**out.number(), stock_class_id=class_id, split_ratio=split_ratio))
        authorised = render_number(out.authorised[class_id])
        out.transactions.append(
            tx.ClassAuthorized(**out.number(), stock_class_id=class_id, new_shares_authorized=authorised)
        )
    out.lots.split(ratio)
    out.prices = {security: price / ratio for security, price in out.prices.items()}
    for right in out.rights.values():
        right.shares = int(right.shares * ratio)
    out.shares_reserved = int(out.shares_reserved * ratio)
    if out.plan is not None:
        _write_plan(out, None)


def _adjust_authorised(out: Writing, event: issuers.IssuerAuthorisedSharesAdjusted) -> None:
    out.authorised[event.class_id] = event.shares_authorised
    out.transactions.append(
        tx.ClassAuthorized(
            **out.number(),
            comments=render_comments(event.approval),
            stock_class_id=event.class_id,
            new_shares_authorized=render_number(event.shares_authorised),
        )
    )


def _convert_stock(out: Writing, event: issuers.IssuerStockConverted) -> None:
    """Convert certificates into one of common stock; less than a whole share makes none."""
    result = Lot(out.number_result(), event.shares_after, Fraction(0))
    for taken in list(out.lots.take(event.holder_id, event.class_id, event.shares)):
        balance_id = taken.balance.security_id if taken.balance is not None else UNSET
        out.transactions.append(
            tx.StockConversion(
                **out.number(),
                security_id=taken.lot.security_id,
                quantity_converted=render_number(taken.shares),
                resulting_security_ids=(result.security_id,) if event.shares_after else (),
                balance_security_id=balance_id,
            )
        )
        if taken.balance is not None:
            out.write_issuance(event.holder_id, event.class_id, taken.balance)
    if event.shares_after:
        out.issue_stock(event.holder_id, event.class_id_after, result)


def _merge_odd_lots(out: Writing, ratio: Fraction) -> None:
    """Merge a holder's certificates of a class where a split would leave them fractions of a share."""
    for holder_id, class_id, odd in out.lots.list_odd(ratio):
        shares = sum(lot.shares for lot in odd)
        cost = sum((Fraction(lot.price_usd) * lot.shares for lot in odd), Fraction(0))
        merged = Lot(out.number_result(), shares, cost / shares)
        for lot in odd:
            out.transactions.append(
                tx.StockReissuance(
                    **out.number(),
                    security_id=lot.security_id,
                    resulting_security_ids=(merged.security_id,),
                    reason_text="certificates are joined before a split",
                )
            )
        out.lots.replace(holder_id, class_id, merged)
        out.write_issuance(holder_id, class_id, merged)


def _open_financing(out: Writing, event: issuers.IssuerFinancingOpened) -> None:
    out.names[event.financing_id] = event.name


def _close_financing(out: Writing, event: issuers.IssuerFinancingClosed) -> None:
    out.closed[event.financing_id] = out.day


def _record_valuation(out: Writing, event: issuers.IssuerValuationRecorded) -> None:
    common = next((class_id for class_id, each in out.classes.items() if each.class_type == "COMMON"), None)
    if event.method == "409A" and common is not None:
        out.valuations.append(
            ocf.Valuation(
                id=f"valuation-{len(out.valuations) + 1}",
                price_per_share=render_money(event.price_usd_per_share),
                effective_date=event.effective_on,
                stock_class_id=common,
                valuation_type="409A",
            )
        )


def _leave_out(_: Writing, __: Any) -> None:
    """Write nothing: OCF cannot express it, and the sidecar keeps it."""


_HANDLERS: Final[dict[type[Any], Callable[[Writing, Any], None]]] = {
    issuers.IssuerFormed: _form,
    issuers.IssuerStakeholderAdded: _add_stakeholder,
    issuers.IssuerStockClassCreated: _create_class,
    issuers.IssuerStockPlanAdjusted: _adjust_plan,
    issuers.IssuerStockIssued: _issue_stock,
    issuers.IssuerStockTransferred: _transfer,
    issuers.IssuerStockRepurchased: _repurchase,
    issuers.IssuerStockSplit: _split,
    issuers.IssuerAuthorisedSharesAdjusted: _adjust_authorised,
    issuers.IssuerStockConverted: _convert_stock,
    **RIGHTS,
    issuers.IssuerInstrumentSigned: _leave_out,
    issuers.IssuerDilutionLimited: _leave_out,
    issuers.IssuerExposureRecorded: _leave_out,
    issuers.IssuerProposalCounted: _leave_out,
    issuers.IssuerRefusalCounted: _leave_out,
    issuers.IssuerHolderTermsAgreed: _leave_out,
    issuers.IssuerFinancingOpened: _open_financing,
    issuers.IssuerProRataAnswered: _leave_out,
    issuers.IssuerFinancingPriced: _leave_out,
    issuers.IssuerFinancingClosed: _close_financing,
    issuers.IssuerFinancingAbandoned: _leave_out,
    issuers.IssuerValuationRecorded: _record_valuation,
    issuers.IssuerLiquidityDeclared: _leave_out,
    issuers.IssuerLiquidityWithdrawn: _leave_out,
    issuers.IssuerDistributionPaid: _leave_out,
    issuers.IssuerImported: _leave_out,
}
