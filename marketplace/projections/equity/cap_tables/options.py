"""Folds the events of options into a row for each, and shows what has vested of it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any

import msgspec

from events import issuer as issuer_events
from marketplace.core.money import render_ratio, round_ratio
from marketplace.domain.equity.issuer.rights.vesting import count_exercisable, count_vested
from marketplace.domain.equity.issuer.state import Option
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.equity.cap_tables import tables
from marketplace.projections.views.equity import OptionView

OnOption = (
    issuer_events.IssuerOptionExercised | issuer_events.IssuerOptionTransferred | issuer_events.IssuerOptionCancelled
)


def write_granted(changes: WriteBatch, event: issuer_events.IssuerOptionGranted) -> None:
    """Write the row of a new option."""
    changes.put(
        tables.options,
        issuer_id=event.issuer_id,
        option_id=event.option_id,
        holder_id=event.holder_id,
        granted=event,
        shares=event.shares,
        shares_outstanding=event.shares,
        shares_granted=event.shares,
        exercise_price_usd=render_ratio(Fraction(event.exercise_price_usd)),
    )


def _parse(row: Mapping[str, Any]) -> Option:
    """Return the option of a row; its grant is as the row has it."""
    return Option(
        granted=row["granted"],
        holder_id=row["holder_id"],
        shares=row["shares"],
        shares_outstanding=row["shares_outstanding"],
        exercise_price_usd=Fraction(row["exercise_price_usd"]),
        shares_granted=row["shares_granted"],
        service_ended_on=row["service_ended_on"],
    )


def _put(changes: WriteBatch, row: Mapping[str, Any], option: Option) -> None:
    after: dict[str, Any] = {
        "holder_id": option.holder_id,
        "shares": option.shares,
        "shares_outstanding": option.shares_outstanding,
        "shares_granted": option.shares_granted,
        "exercise_price_usd": render_ratio(option.exercise_price_usd),
        "service_ended_on": option.service_ended_on,
    }
    changes.put(tables.options, **{**row, **after})


def write_option(changes: WriteBatch, fact: RecordedEvent, event: OnOption) -> None:
    """Change an option."""
    row = changes.find(tables.options, fact.id, event.option_id)
    assert row is not None, "an option is granted first"
    option = _parse(row)
    if isinstance(event, issuer_events.IssuerOptionExercised):
        _put(changes, row, option.use(event.shares))
    elif isinstance(event, issuer_events.IssuerOptionTransferred):
        _put(changes, row, replace(option, holder_id=event.holder_id_after))
    else:
        _put(changes, row, option.end(event.shares, event.service_ended_on))


def split_options(changes: WriteBatch, fact: RecordedEvent, ratio: Fraction) -> None:
    """Multiply every option of an issuer."""
    for row in changes.rows(tables.options):
        if row["issuer_id"] == fact.id:
            _put(changes, row, _parse(row).split(ratio))


def show_option(row: Mapping[str, Any], on_day: date) -> OptionView:
    """Return an option as it is on a day."""
    granted = msgspec.convert(row["granted"], issuer_events.IssuerOptionGranted)
    option = _parse({**row, "granted": granted})
    until = option.exercisable_until
    return OptionView(
        exercise_price_usd=round_ratio(option.exercise_price_usd),
        vesting=granted.vesting,
        shares_granted=option.shares_granted,
        shares_vested=min(count_vested(option, on_day), option.shares),
        shares_exercisable=0 if until is not None and on_day > until else count_exercisable(option, on_day),
        termination_exercise_days=granted.termination_exercise_days,
        service_ended_on=option.service_ended_on,
        exercisable_until=until,
    )
