"""Inconsistencies of a cap table, each with the events to look at."""

from collections.abc import Iterator
from datetime import datetime
from math import ceil
from typing import Final

import msgspec

from events import issuer as events
from events.instrument import InstrumentMatured
from events.types import NoteTerms, StockTerms
from marketplace.captable.history import History
from marketplace.core.instants import render_instant
from marketplace.domain.equity.issuer.as_converted import convert_row
from marketplace.domain.equity.issuer.state import Issuer, count_warrant_shares, list_rows, total_shares

_APPROVED: Final = (
    events.IssuerStockPlanAdjusted,
    events.IssuerStockIssued,
    events.IssuerStockTransferred,
    events.IssuerStockRepurchased,
    events.IssuerOptionGranted,
    events.IssuerWarrantIssued,
)
"""Acts that must name the document that approved them."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One inconsistency of a cap table.

    Attributes:
        code: ``class_over_issued``, ``class_cannot_cover``, ``common_cannot_cover``, ``pool_overdrawn``,
            ``expired_warrant_counted``, ``note_overdue``, ``shares_owed``, ``approval_missing`` or ``rows_do_not_sum``.
        subject: The class, the warrant, the security or the pool.
        text: One sentence with the values in it.
        sequences: The events to look at.
    """

    code: str
    subject: str
    text: str
    sequences: tuple[int, ...] = ()


def list_checks(past: History, at: datetime) -> tuple[Check, ...]:
    """Return every inconsistency.

    Args:
        past: The history up to `at`.
        at: The instant at which warrants are checked for expiry.
    """
    issuer = past.get_issuer()
    return (
        *_check_classes(issuer, at),
        *_check_common(issuer, at),
        *_check_pool(issuer),
        *_check_warrants(past, issuer, at),
        *_check_notes(past, at),
        *_check_priced_stock(past),
        *_check_approvals(past),
        *_check_sums(issuer),
    )


def _check_classes(issuer: Issuer, at: datetime) -> Iterator[Check]:
    for class_id, stock_class in sorted(issuer.classes.items()):
        outstanding, authorised = stock_class.shares_outstanding, stock_class.shares_authorised
        if outstanding > authorised:
            text = f"class {class_id} has {outstanding} shares outstanding and {authorised} authorised"
            yield Check(code="class_over_issued", subject=class_id, text=text)
        rights = count_warrant_shares(issuer, class_id, at)
        if outstanding <= authorised < outstanding + rights:
            text = f"class {class_id} has {authorised - outstanding} shares to issue, and warrants buy {rights}"
            yield Check(code="class_cannot_cover", subject=class_id, text=text)


def _check_common(issuer: Issuer, at: datetime) -> Iterator[Check]:
    """Find common stock with too few authorised shares for all conversions and the pool; only if it has one class."""
    common = [known for known in issuer.classes.values() if known.created.kind == "common"]
    if len(common) != 1:
        return
    class_id, authorised = common[0].created.class_id, common[0].shares_authorised
    parts = {"outstanding": 0, "for preferred stock to convert": 0, "under warrants": 0, "of the pool": 0}
    for row in list_rows(issuer, at):
        series = issuer.warrants[row.security].issued.class_id if row.kind == "warrant" else row.security
        if row.kind == "stock":
            name = "outstanding" if row.security == class_id else "for preferred stock to convert"
        else:
            name = "under warrants" if row.kind == "warrant" and series == class_id else "of the pool"
        if row.kind != "warrant" or series == class_id:
            parts[name] += ceil(convert_row(issuer, row))
    needed = sum(parts.values())
    if parts["outstanding"] <= authorised < needed:
        listed = ", ".join(f"{count} {name}" for name, count in parts.items() if count)
        text = f"class {class_id} has {authorised} shares authorised and may have to issue {needed}: {listed}"
        yield Check(code="common_cannot_cover", subject=class_id, text=text)


def _check_pool(issuer: Issuer) -> Iterator[Check]:
    if issuer.shares_available < 0:
        granted = issuer.shares_reserved - issuer.shares_available
        text = f"{granted} shares of the pool are granted and {issuer.shares_reserved} reserved"
        yield Check(code="pool_overdrawn", subject="pool", text=text)


def _check_warrants(past: History, issuer: Issuer, at: datetime) -> Iterator[Check]:
    for warrant_id, warrant in sorted(issuer.warrants.items()):
        if warrant.shares_outstanding and warrant.issued.expires_at < at:
            issued = [act.sequence for act in past.acts if act.event == warrant.issued]
            text = (
                f"warrant {warrant_id} expired at {render_instant(warrant.issued.expires_at)} with "
                f"{warrant.shares_outstanding} shares that nobody cancelled; a table that counts it is wrong"
            )
            yield Check(code="expired_warrant_counted", subject=warrant_id, text=text, sequences=tuple(issued))


def _check_notes(past: History, at: datetime) -> Iterator[Check]:
    for instrument_id, instrument in past.list_instruments().items():
        for run in instrument.list_runs():
            if isinstance(run.terms, NoteTerms) and run.terms.matures_on < at.date():
                text = (
                    f"note {instrument_id} fell due on {run.terms.matures_on} with {run.principal_usd} dollars of "
                    "principal; repay, extend or convert it before a round is priced"
                )
                told = [
                    act.sequence
                    for act in past.acts
                    if act.aggregate == instrument_id and isinstance(act.event, InstrumentMatured)
                ]
                yield Check(code="note_overdue", subject=instrument_id, text=text, sequences=tuple(told))


def _check_priced_stock(past: History) -> Iterator[Check]:
    for instrument_id, instrument in past.list_instruments().items():
        if isinstance(instrument.terms, StockTerms) and instrument.outstanding_usd:
            text = (
                f"{instrument.outstanding_usd} dollars of principal of {instrument_id} bought shares of "
                f"{instrument.terms.class_id} that were not issued; issue them, or split the stock first"
            )
            yield Check(code="shares_owed", subject=instrument_id, text=text)


def _check_approvals(past: History) -> Iterator[Check]:
    for act in past.acts:
        event = act.event
        if isinstance(event, _APPROVED) and event.approval is None:
            subject = next(
                (getattr(event, name) for name in ("security_id", "option_id", "warrant_id") if hasattr(event, name)),
                "pool" if isinstance(event, events.IssuerStockPlanAdjusted) else getattr(event, "class_id", ""),
            )
            text = f"{event.__struct_config__.tag} of {act.time:%Y-%m-%d} names no document that approved it"
            yield Check(code="approval_missing", subject=subject, text=text, sequences=(act.sequence,))


def _check_sums(issuer: Issuer) -> Iterator[Check]:
    rows, whole = sum(row.shares for row in list_rows(issuer)), total_shares(issuer).fully_diluted
    if rows != whole:
        yield Check(code="rows_do_not_sum", subject="issuer", text=f"the rows have {rows} shares and the total {whole}")
