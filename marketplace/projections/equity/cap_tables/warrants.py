"""Folds the events of warrants into a row for each, with what has vested and may be exercised of its tranches.

A split multiplies running totals over the tranches, as `marketplace.domain.equity.issuer.rights.tranches` does.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any

from events import issuer as issuer_events
from marketplace.core.money import render_ratio, round_ratio
from marketplace.domain.equity.issuer.rights import tranches as rules
from marketplace.domain.equity.issuer.rights.tranches import Tranche
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.equity.cap_tables import tables

OnTranche = (
    issuer_events.IssuerWarrantVested
    | issuer_events.IssuerWarrantReleased
    | issuer_events.IssuerWarrantPriced
    | issuer_events.IssuerWarrantVestingReversed
)
OnWarrant = (
    issuer_events.IssuerWarrantExercised
    | issuer_events.IssuerWarrantExpired
    | issuer_events.IssuerWarrantCancelled
    | issuer_events.IssuerWarrantTransferred
    | issuer_events.IssuerMilestoneAttested
)


def write_issued(changes: WriteBatch, event: issuer_events.IssuerWarrantIssued) -> None:
    """Write the row of a new warrant."""
    changes.put(
        tables.warrants,
        issuer_id=event.issuer_id,
        warrant_id=event.warrant_id,
        holder_id=event.holder_id,
        class_id=event.class_id,
        status="open",
        expires_at=event.expires_at,
        exercise_price_usd=render_ratio(Fraction(event.exercise_price_usd)),
        terms=event,
        attested=[],
        tranches=_render(rules.build_tranches(event)),
    )


def _render(tranches: Sequence[Tranche]) -> list[dict[str, Any]]:
    return [
        {
            "shares": each.shares,
            "shares_outstanding": each.outstanding,
            "shares_unvested": each.unvested,
            "shares_exercisable": each.exercisable,
            "is_vested": each.is_vested,
            "is_released": each.is_released,
            "exercise_price_usd": None if each.price_usd is None else f"{round_ratio(each.price_usd):f}",
            "exercise_price_exact": None if each.price_usd is None else render_ratio(each.price_usd),
            "vested_on": None if each.vested_on is None else each.vested_on.isoformat(),
        }
        for each in tranches
    ]


def _parse(rows: Sequence[dict[str, Any]]) -> tuple[Tranche, ...]:
    return tuple(
        Tranche(
            shares=row["shares"],
            outstanding=row["shares_outstanding"],
            unvested=row["shares_unvested"],
            is_vested=row["is_vested"],
            is_released=row["is_released"],
            price_usd=None if row["exercise_price_exact"] is None else Fraction(row["exercise_price_exact"]),
            vested_on=None if row["vested_on"] is None else date.fromisoformat(row["vested_on"]),
        )
        for row in rows
    )


def _write(changes: WriteBatch, row: Any, tranches: Sequence[Tranche], **members: Any) -> None:
    if not any(each.outstanding for each in tranches) and row["status"] == "open":
        members.setdefault("status", "used")
    changes.put(tables.warrants, **{**row, "tranches": _render(tranches), **members})


def write_tranche(changes: WriteBatch, fact: RecordedEvent, event: OnTranche) -> None:
    """Change one tranche."""
    row = changes.find(tables.warrants, fact.id, event.warrant_id)
    assert row is not None, "a warrant is issued first"
    tranches = list(_parse(row["tranches"]))
    tranches[event.tranche] = _change(tranches[event.tranche], event)
    _write(changes, row, tranches)


def _change(tranche: Tranche, event: OnTranche) -> Tranche:
    match event:
        case issuer_events.IssuerWarrantVested():
            return rules.vest(tranche, event)
        case issuer_events.IssuerWarrantReleased():
            return replace(tranche, is_released=True)
        case issuer_events.IssuerWarrantPriced():
            return replace(tranche, price_usd=Fraction(event.exercise_price_usd))
        case _:
            return rules.reverse(tranche, event)


def write_warrant(changes: WriteBatch, fact: RecordedEvent, event: OnWarrant) -> None:
    """Change a warrant as a whole."""
    row = changes.find(tables.warrants, fact.id, event.warrant_id)
    assert row is not None, "a warrant is issued first"
    tranches = _parse(row["tranches"])
    match event:
        case issuer_events.IssuerWarrantExercised():
            used = event.shares + event.shares_surrendered
            _write(changes, row, rules.use(tranches, used, event.tranche))
        case issuer_events.IssuerWarrantExpired():
            _write(changes, row, rules.expire(tranches), status="expired")
        case issuer_events.IssuerWarrantCancelled():
            _write(changes, row, rules.cancel(tranches, event.shares))
        case issuer_events.IssuerWarrantTransferred():
            _write(changes, row, tranches, holder_id=event.holder_id_after)
        case _:
            _write(changes, row, tranches, attested=[*row["attested"], event.milestone])


def split_warrants(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerStockSplit) -> None:
    """Multiply every warrant of an issuer."""
    ratio = Fraction(event.numerator, event.denominator)
    for row in changes.rows(tables.warrants):
        if row["issuer_id"] == fact.id:
            price = render_ratio(Fraction(row["exercise_price_usd"]) / ratio)
            _write(changes, row, rules.split(_parse(row["tranches"]), ratio), exercise_price_usd=price)
