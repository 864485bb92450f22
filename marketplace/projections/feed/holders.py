"""Each party's holdings in each issuer at every event; they decide how much of the event the party sees."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from events import instrument, issuer
from events.issuer_holders import Depth, HolderTerms
from events.types import Event
from marketplace.core.ids import is_id
from marketplace.domain.equity.information import choose_depth
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.schema import Origin, define, document, exact, text
from marketplace.projections.engine.write_batch import WriteBatch

Held = dict[str, dict[str, int]]
"""Shares by holder and security, such as ``stock/common`` or ``option/opt_…``.

An instrument counts as 1 while it may accrue or its principal is outstanding.
"""
Move = tuple[str, str, int]
"""Holder, security, and the change of the holder's shares in it."""

event_holders: Final = define(
    "event_holders",
    text("issuer_id", key=True),
    document("terms", null=True),
    document("bound"),
    document("held"),
    origin=Origin(),
)
event_instruments: Final = define(
    "event_instruments",
    text("instrument_id", key=True),
    text("issuer_id"),
    text("holder_id"),
    text("status"),
    exact("principal_usd"),
    exact("undrawn_usd"),
    origin=Origin(),
)
_NOTHING: Final[dict[str, Any]] = {"terms": None, "bound": [], "held": {}}
_OPEN: Final = frozenset({"active", "suspended"})


async def load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    """Read the rows that the events of a batch need."""
    instruments = {(fact.id,) for fact in batch if fact.aggregate == "instrument"}
    await changes.load(connection, event_instruments, instruments)
    issuers = {row["issuer_id"] for row in changes.rows(event_instruments)}
    issuers |= {name for fact in batch if (name := get_issuer(fact)) is not None}
    await changes.load(connection, event_holders, {(issuer_id,) for issuer_id in issuers})


def get_issuer(fact: RecordedEvent) -> str | None:
    """Return the issuer that an event is about, or None."""
    if fact.aggregate not in {"issuer", "instrument", "proposal"}:
        return None
    issuer_id: str | None = getattr(fact.event, "issuer_id", None)
    return issuer_id


def list_depths(changes: WriteBatch, issuer_id: str) -> dict[str, Depth]:
    """Return how deep each party that now holds equity of an issuer, or directs it, sees into it."""
    row = changes.find(event_holders, issuer_id)
    if row is None:
        return {}
    terms = None if row["terms"] is None else msgspec.convert(row["terms"], HolderTerms, strict=False)
    held_depths = {
        holder_id: choose_depth(
            terms,
            (name[6:] for name in held if name.startswith("stock/")),
            is_bound=holder_id in row["bound"],
        )
        for holder_id, held in row["held"].items()
    }
    return {**held_depths, **dict.fromkeys(() if terms is None else terms.directors, "full")}


def fold(changes: WriteBatch, fact: RecordedEvent) -> None:
    """Apply an event to the holdings."""
    if fact.aggregate == "instrument":
        _fold_instrument(changes, fact)
    elif fact.aggregate == "issuer":
        row = changes.find(event_holders, fact.id) or _NOTHING
        if isinstance(fact.event, issuer.IssuerHolderTermsAgreed):
            terms = msgspec.to_builtins(fact.event.terms)
            changes.put(event_holders, **{**row, "issuer_id": fact.id, "terms": terms, "bound": list(fact.event.bound)})
        elif (held := _fold_shares(row["held"], fact.event)) is not None:
            changes.put(event_holders, **{**row, "issuer_id": fact.id, "held": held})


def _fold_shares(held: Held, event: Event) -> Held | None:
    """Return what parties hold after an event of their issuer; None if it is the same."""
    if isinstance(event, issuer.IssuerStockSplit):
        ratio = Fraction(event.numerator, event.denominator)
        return {holder_id: _split(securities, ratio) for holder_id, securities in held.items()}
    moves = [*_end_promise(held, getattr(event, "promise_id", None), event), *_list_moves(event)]
    return _move(held, moves) if moves else None


def _split(securities: Mapping[str, int], ratio: Fraction) -> dict[str, int]:
    return {
        name: shares if name.startswith("instrument/") else int(shares * ratio) for name, shares in securities.items()
    }


def _end_promise(held: Held, promise_id: str | None, event: Event) -> Iterable[Move]:
    """Yield the end of a promise that is withdrawn, or fulfilled by an option."""
    if promise_id is None or isinstance(event, issuer.IssuerOptionPromised):
        return
    name = f"promised/{promise_id}"
    for holder_id, securities in held.items():
        if name in securities:
            yield holder_id, name, -securities[name]


def _list_moves(event: Event) -> Iterable[Move]:
    """Yield what an event adds to holders and takes from them; a promise that ends is left out."""
    match event:
        case issuer.IssuerStockIssued():
            yield event.holder_id, f"stock/{event.class_id}", event.shares
        case issuer.IssuerStockRepurchased():
            yield event.holder_id, f"stock/{event.class_id}", -event.shares
        case issuer.IssuerStockTransferred():
            yield event.holder_id, f"stock/{event.class_id}", -event.shares
            yield event.holder_id_after, f"stock/{event.class_id}", event.shares
        case issuer.IssuerStockConverted():
            yield event.holder_id, f"stock/{event.class_id}", -event.shares
            yield event.holder_id, f"stock/{event.class_id_after}", event.shares_after
        case issuer.IssuerOptionPromised():
            yield event.holder_id, f"promised/{event.promise_id}", event.shares
        case issuer.IssuerOptionGranted():
            yield event.holder_id, f"option/{event.option_id}", event.shares
        case issuer.IssuerOptionExercised():
            yield event.holder_id, f"option/{event.option_id}", -event.shares
            yield event.holder_id, f"stock/{event.class_id}", event.shares
        case issuer.IssuerOptionTransferred():
            yield event.holder_id, f"option/{event.option_id}", -event.shares
            yield event.holder_id_after, f"option/{event.option_id}", event.shares
        case issuer.IssuerOptionCancelled():
            yield event.holder_id, f"option/{event.option_id}", -event.shares
        case _:
            yield from _list_warrant_moves(event)


def _list_warrant_moves(event: Event) -> Iterable[Move]:
    match event:
        case issuer.IssuerWarrantIssued():
            yield event.holder_id, f"warrant/{event.warrant_id}", event.shares
        case issuer.IssuerWarrantExercised():
            yield event.holder_id, f"warrant/{event.warrant_id}", -event.shares - event.shares_surrendered
            yield event.holder_id, f"stock/{event.class_id}", event.shares
        case issuer.IssuerWarrantExpired() | issuer.IssuerWarrantCancelled():
            yield event.holder_id, f"warrant/{event.warrant_id}", -event.shares
        case issuer.IssuerWarrantTransferred():
            yield event.holder_id, f"warrant/{event.warrant_id}", -event.shares
            yield event.holder_id_after, f"warrant/{event.warrant_id}", event.shares


def _move(held: Held, moves: Iterable[Move]) -> Held:
    """Return what parties hold after moves, without parties that hold nothing and holders that are no party here."""
    after = {holder_id: dict(securities) for holder_id, securities in held.items()}
    for holder_id, name, shares in moves:
        if is_id(holder_id, "pty"):
            securities = after.setdefault(holder_id, {})
            securities[name] = securities.get(name, 0) + shares
    kept = {id: {name: shares for name, shares in some.items() if shares} for id, some in after.items()}  # noqa: A001
    return {holder_id: securities for holder_id, securities in kept.items() if securities}


def _fold_instrument(changes: WriteBatch, fact: RecordedEvent) -> None:
    """Update an instrument. Its holder sees its issuer while principal is not settled or may still accrue."""
    before, event = changes.find(event_instruments, fact.id), fact.event
    if isinstance(event, instrument.InstrumentIssued):
        names = {"issuer_id": event.issuer_id, "holder_id": event.holder_id}
        sums = {"principal_usd": Decimal(0), "undrawn_usd": event.commitment_usd}
        after: dict[str, Any] = {"instrument_id": fact.id, **names, "status": "active", **sums}
    elif before is None:
        return
    else:
        status, delta, drawn = _read_change(event)
        principal, undrawn = before["principal_usd"] + delta, before["undrawn_usd"] - drawn
        after = {**before, "status": status or before["status"], "principal_usd": principal, "undrawn_usd": undrawn}
        if isinstance(event, instrument.InstrumentTransferred):
            after["holder_id"] = event.holder_id_after
    changes.put(event_instruments, **after)
    issuer_id, name = after["issuer_id"], f"instrument/{fact.id}"
    row = changes.find(event_holders, issuer_id) or _NOTHING
    known = row["held"].get(after["holder_id"], {}).get(name, 0)
    may_accrue = after["status"] in _OPEN and after["undrawn_usd"] > 0
    now = int(may_accrue or after["principal_usd"] > 0)
    if now != known:
        held = _move(row["held"], [(after["holder_id"], name, now - known)])
        changes.put(event_holders, **{**row, "issuer_id": issuer_id, "held": held})


def _read_change(event: Event) -> tuple[str | None, Decimal, Decimal]:
    """Return the new status of an instrument, if it changes, the change of its principal, and what was drawn."""
    zero = Decimal(0)
    match event:
        case instrument.InstrumentPrincipalAccrued():
            return None, event.principal_usd, event.principal_usd
        case instrument.InstrumentPrincipalReversed():
            outstanding = event.principal_usd if event.became == "outstanding" else zero
            return None, -outstanding, -event.principal_usd
        case instrument.InstrumentCommitmentReduced():
            return None, zero, event.amount_usd
        case instrument.InstrumentConverted():
            return None, -event.principal_usd, zero
        case instrument.InstrumentRepaid():
            return "repaid", -event.principal_usd, zero
        case instrument.InstrumentLapsed():
            return "lapsed", zero, zero
        case instrument.InstrumentCancelled():
            return "cancelled", zero, zero
        case _:
            return None, zero, zero
