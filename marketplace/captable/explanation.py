"""Explains every number of a cap table by the events behind it.

The table is compared before and after each act. What an act changed in a row is an entry of that row, so the entries of
a row sum to the row.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from events.registry import get_tag
from marketplace.captable.history import Act, History
from marketplace.core.money import ZERO, round_shares
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.instrument.state import Instrument
from marketplace.domain.equity.issuer.as_converted import convert_row
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import ROW_KINDS, Issuer, list_rows, total_shares

RowKey = tuple[str, str, str]
_PRINCIPAL: Final = ("outstanding", "converted", "debt")


class NumberChange(msgspec.Struct, frozen=True, kw_only=True):
    """How one event changed a number.

    Attributes:
        sequence: Position of the event in the log.
        occurred_at: When it happened.
        type: Its tag.
        aggregate_id: The issuer or instrument of the event.
        change: The difference, in shares or dollars.
        after: The number after the event.
    """

    sequence: int
    occurred_at: datetime
    type: str
    aggregate_id: str
    change: Decimal
    after: Decimal


class ExplainedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the cap table and its entries, which sum to it.

    Attributes:
        kind: ``stock``, ``option``, ``warrant``, ``promised`` or ``pool``.
        holder_id: The holder; None for the pool.
        name: The holder's name in the cap table.
        security: The class of stock, the option, the warrant or the promise; ``pool`` for the pool.
        shares: How many.
        entries: Oldest first.
    """

    kind: str
    holder_id: str | None
    name: str | None
    security: str
    shares: int
    entries: tuple[NumberChange, ...]


class ExplainedNumber(msgspec.Struct, frozen=True, kw_only=True):
    """A number of the whole issuer, or of a class, and its events.

    Attributes:
        name: ``outstanding``, ``fully_diluted``, ``reserved``, ``granted``, ``promised``, ``available``; of a class,
            such as ``authorised/common``; or of a warrant's tranche, ``vested/wrt_…/0`` and ``exercisable/wrt_…/0``:
            its vested unused shares, and those for exercise.
        value: What it is.
        entries: Oldest first.
    """

    name: str
    value: Decimal
    entries: tuple[NumberChange, ...]


class ExplainedPrincipal(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument's principal, its converted principal, and its holder's debt for clawbacks, each with its entries.

    Attributes:
        instrument_id: The instrument.
        holder_id: The holder.
        outstanding_usd: Principal that is neither converted nor repaid.
        entries: Entries of the outstanding principal, oldest first; the event names the tranche's statement.
        converted_usd: Principal that became shares, less what was clawed back.
        converted: Entries of the converted principal.
        debt_usd: What the holder owes the issuer for clawbacks.
        debt: Entries of the debt.
    """

    instrument_id: str
    holder_id: str
    outstanding_usd: Decimal
    entries: tuple[NumberChange, ...]
    converted_usd: Decimal
    converted: tuple[NumberChange, ...]
    debt_usd: Decimal
    debt: tuple[NumberChange, ...]


class ExplainedConversion(msgspec.Struct, frozen=True, kw_only=True):
    """As-converted common shares, with at most 6 places, and entries; a lower conversion price makes an entry too.

    Attributes:
        of: ``company``: the fully diluted company; ``class``: outstanding shares of a class; ``holder``: shares of a
            holder, fully diluted.
        id: The class or the holder; None for the company.
        name: The holder's name in the cap table.
        shares: How many.
        entries: Oldest first.
    """

    of: str
    id: str | None
    name: str | None
    shares: Decimal
    entries: tuple[NumberChange, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A cap table with the events behind every number.

    Attributes:
        issuer_id: The issuer.
        at: The instant of the table; None for now.
        known: The last sequence whose events count; None for all.
        rows: Rows that have or had shares, by kind, holder and security.
        numbers: Totals of the issuer and of its classes.
        as_converted: As-converted common shares of the company, its classes and its holders.
        principal: Principal of each instrument.
    """

    issuer_id: str
    at: datetime | None
    known: int | None
    rows: tuple[ExplainedRow, ...]
    numbers: tuple[ExplainedNumber, ...]
    as_converted: tuple[ExplainedConversion, ...]
    principal: tuple[ExplainedPrincipal, ...]


class _Ledger:
    """Numbers by key, each with the entries of the acts that changed it."""

    def __init__(self) -> None:
        self.values: dict[RowKey, Decimal] = {}
        self.entries: dict[RowKey, list[NumberChange]] = {}

    def record(self, act: Act, now: Mapping[RowKey, Decimal]) -> None:
        """Record the numbers after an act; a number that is missing from `now` is 0."""
        for key in sorted(self.values.keys() | now.keys()):
            before, after = self.values.get(key, ZERO), now.get(key, ZERO)
            if before != after:
                entry = NumberChange(
                    sequence=act.sequence,
                    occurred_at=act.time,
                    type=get_tag(act.event),
                    aggregate_id=act.aggregate,
                    change=after - before,
                    after=after,
                )
                self.entries.setdefault(key, []).append(entry)
                self.values[key] = after


def explain_cap_table(
    history: History,
    *,
    at: datetime | None = None,
    known: int | None = None,
    holder_id: str | None = None,
    security: str | None = None,
) -> Explanation:
    """Return a cap table with the events behind every number.

    Args:
        history: The whole history.
        at: Acts that happened later are left out.
        known: Acts at a later sequence are left out.
        holder_id: Only this holder's rows, as-converted shares and principal, without numbers.
        security: Only rows of this class, option or warrant, numbers of this warrant's tranches, and principal of this
            instrument, without as-converted shares.

    Raises:
        Refusal: ``issuer_unknown``: it was not formed by then.
    """
    past = history.until(at, known)
    issuer = past.get_issuer()
    rows, numbers, converted, principal = _walk(past)
    names = {each.holder_id: each.name for each in issuer.stakeholders.values()}
    explained = [
        ExplainedRow(
            kind=key[0],
            holder_id=key[1] or None,
            name=names.get(key[1]),
            security=key[2],
            shares=int(rows.values[key]),
            entries=tuple(rows.entries[key]),
        )
        for key in rows.entries
        if holder_id in (None, key[1]) and security in (None, key[2])
    ]
    explained.sort(key=lambda row: (ROW_KINDS.index(row.kind), row.holder_id or "", row.security))
    return Explanation(
        issuer_id=history.issuer_id,
        at=at,
        known=known,
        rows=tuple(explained),
        numbers=() if holder_id else tuple(_list_numbers(numbers, security)),
        as_converted=() if security else tuple(_list_converted(converted, names, holder_id)),
        principal=tuple(_list_principal(principal, holder_id, security)),
    )


def _walk(past: History) -> tuple[_Ledger, _Ledger, _Ledger, _Ledger]:
    rows, numbers, converted, principal = _Ledger(), _Ledger(), _Ledger(), _Ledger()
    company = None
    instruments: dict[str, Instrument | None] = {}
    for act in past.acts:
        event: object = act.event
        if act.aggregate == past.issuer_id:
            company = ISSUER.fold([event], company)  # type: ignore[list-item]
            if isinstance(company, Issuer):
                rows.record(act, _read_rows(company))
                numbers.record(act, _read_numbers(company))
                converted.record(act, _read_converted(company))
            continue
        instrument = INSTRUMENT.fold([event], instruments.get(act.aggregate))  # type: ignore[list-item]
        instruments[act.aggregate] = instrument
        principal.record(act, _read_principal(instruments.values()))
    return rows, numbers, converted, principal


def _read_rows(issuer: Issuer) -> dict[RowKey, Decimal]:
    return {(row.kind, row.holder_id or "", row.security): Decimal(row.shares) for row in list_rows(issuer)}


def _read_numbers(issuer: Issuer) -> dict[RowKey, Decimal]:
    totals = total_shares(issuer)
    numbers = {
        ("", "", "outstanding"): totals.stock,
        ("", "", "fully_diluted"): totals.fully_diluted,
        ("", "", "reserved"): issuer.shares_reserved,
        ("", "", "granted"): issuer.shares_granted,
        ("", "", "promised"): issuer.shares_promised,
        ("", "", "available"): issuer.shares_available,
    }
    for class_id, stock_class in issuer.classes.items():
        numbers["", class_id, "authorised"] = stock_class.shares_authorised
        numbers["", class_id, "outstanding"] = stock_class.shares_outstanding
    for warrant_id, warrant in issuer.warrants.items():
        for index, tranche in enumerate(warrant.tranches if warrant.issued.tranches else ()):
            numbers["", f"{warrant_id}/{index}", "vested"] = tranche.outstanding - tranche.unvested
            numbers["", f"{warrant_id}/{index}", "exercisable"] = tranche.exercisable
    return {key: Decimal(value) for key, value in numbers.items()}


def _read_converted(issuer: Issuer) -> dict[RowKey, Decimal]:
    numbers: dict[RowKey, Fraction] = {("company", "", ""): Fraction(0)}
    for class_id, stock_class in issuer.classes.items():
        numbers["class", class_id, ""] = stock_class.shares_outstanding * stock_class.conversion_ratio
    for row in list_rows(issuer):
        shares = convert_row(issuer, row)
        numbers["company", "", ""] += shares
        if row.holder_id is not None:
            key = ("holder", row.holder_id, "")
            numbers[key] = numbers.get(key, Fraction(0)) + shares
    return {key: round_shares(shares) for key, shares in numbers.items()}


def _read_principal(instruments: Iterable[Instrument | None]) -> dict[RowKey, Decimal]:
    numbers: dict[RowKey, Decimal] = {}
    for each in instruments:
        if each is not None:
            holder_id, instrument_id = each.holder_id, each.issued.instrument_id
            numbers["outstanding", holder_id, instrument_id] = each.outstanding_usd
            numbers["converted", holder_id, instrument_id] = each.converted_usd
            numbers["debt", holder_id, instrument_id] = each.debt_usd
    return numbers


def _list_numbers(numbers: _Ledger, security: str | None) -> Iterable[ExplainedNumber]:
    """Yield all numbers, or those of a warrant's tranches."""
    found = (key for key in numbers.entries if security is None or key[1].startswith(f"{security}/"))
    for key in sorted(found, key=lambda key: (key[1], key[2])):
        name = f"{key[2]}/{key[1]}" if key[1] else key[2]
        yield ExplainedNumber(name=name, value=numbers.values[key], entries=tuple(numbers.entries[key]))


def _list_converted(
    converted: _Ledger, names: Mapping[str, str], holder_id: str | None
) -> Iterable[ExplainedConversion]:
    order = ("company", "class", "holder")
    for key in sorted(converted.entries, key=lambda key: (order.index(key[0]), key[1])):
        of, name, _ = key
        if holder_id is None or (of, name) == ("holder", holder_id):
            yield ExplainedConversion(
                of=of,
                id=name or None,
                name=names.get(name) if of == "holder" else None,
                shares=converted.values[key],
                entries=tuple(converted.entries[key]),
            )


def _list_principal(principal: _Ledger, holder_id: str | None, security: str | None) -> Iterable[ExplainedPrincipal]:
    for _, holder, instrument_id in sorted({("", *key[1:]) for key in principal.entries}):
        if holder_id in (None, holder) and security in (None, instrument_id):
            values = {kind: principal.values.get((kind, holder, instrument_id), ZERO) for kind in _PRINCIPAL}
            entries = {kind: tuple(principal.entries.get((kind, holder, instrument_id), ())) for kind in _PRINCIPAL}
            yield ExplainedPrincipal(
                instrument_id=instrument_id,
                holder_id=holder,
                outstanding_usd=values["outstanding"],
                entries=entries["outstanding"],
                converted_usd=values["converted"],
                converted=entries["converted"],
                debt_usd=values["debt"],
                debt=entries["debt"],
            )
