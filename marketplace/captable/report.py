"""A cap table by holder, class and instrument, as of an instant and as known at a sequence.

Prices have at most 12 places, parts and as-converted shares at most 6. Events and certificates state exact fractions.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import msgspec

from marketplace.captable.diagnostics import Check, list_checks
from marketplace.captable.history import History
from marketplace.core.ids import is_id
from marketplace.core.money import ZERO, round_ratio, round_shares
from marketplace.domain.equity.instrument.state import Instrument
from marketplace.domain.equity.issuer.as_converted import convert_row, measure_company
from marketplace.domain.equity.issuer.dilution import measure_dilution, sum_exposures
from marketplace.domain.equity.issuer.state import Issuer, Row, count_warrant_shares, list_rows


class HolderLine(msgspec.Struct, frozen=True, kw_only=True):
    """One holder's securities.

    Attributes:
        holder_id: The holder.
        name: Name in the cap table, or else the party's name now; None where the reader may not name it,
            and in a scenario for each party that is no named stakeholder.
        outstanding_shares: Its shares of stock.
        fully_diluted_shares: Its shares of stock and under options, promises and warrants.
        as_converted_shares: The same in common shares, at the conversion prices of that instant.
        outstanding_part: Its part of all stock, from 0 to 1.
        fully_diluted_part: Its part of the fully diluted company, as converted, from 0 to 1.
        principal_usd: Principal that is not converted and so is no share yet.
    """

    holder_id: str
    name: str | None
    outstanding_shares: int
    fully_diluted_shares: int
    as_converted_shares: Decimal
    outstanding_part: Decimal
    fully_diluted_part: Decimal
    principal_usd: Decimal


class ClassLine(msgspec.Struct, frozen=True, kw_only=True):
    """A class of stock: authorised and outstanding shares, and shares that may still be issued.

    Attributes:
        class_id: The class.
        kind: Common or preferred.
        authorised_shares: The most that may be outstanding.
        outstanding_shares: Shares that are outstanding.
        warrant_shares: Its shares that warrants may still buy.
        issuable_shares: Authorised shares that are not outstanding, those that warrants buy included.
        outstanding_part: Its part of all stock, from 0 to 1.
        issue_price_usd: Original issue price of preferred stock.
        conversion_price_usd: Price at which it converts into common stock; protection lowers it.
        as_converted_shares: Common shares that the outstanding shares are, or convert into.
    """

    class_id: str
    kind: str
    authorised_shares: int
    outstanding_shares: int
    warrant_shares: int
    issuable_shares: int
    outstanding_part: Decimal
    issue_price_usd: Decimal | None
    conversion_price_usd: Decimal | None
    as_converted_shares: Decimal


class InstrumentLine(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument and its principal.

    Attributes:
        instrument_id: The instrument.
        holder_id: Its holder.
        status: Its status, such as ``active``.
        commitment_usd: The most principal that it may come to.
        principal_usd: Principal that accrued and was not reversed, what was converted or repaid included.
        converted_usd: The part that became shares.
        outstanding_usd: The part that is neither converted nor repaid.
        undrawn_usd: Principal that may still accrue.
    """

    instrument_id: str
    holder_id: str
    status: str
    commitment_usd: Decimal
    principal_usd: Decimal
    converted_usd: Decimal
    outstanding_usd: Decimal
    undrawn_usd: Decimal


class PlanLine(msgspec.Struct, frozen=True, kw_only=True):
    """The pool's shares: reserved in total; of these granted (exercised or not), exercised, promised, available."""

    reserved_shares: int
    granted_shares: int
    exercised_shares: int
    promised_shares: int
    available_shares: int


class DilutionLine(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the company that instruments take, converted or not, and the issuer's limit.

    Attributes:
        dilution_max: The limit.
        valuation_usd: Value of the company at which instruments without a cap are counted.
        dilution: The part of the fully diluted company that all of them are or may become, from 0 to 1.
        converted_shares: Shares from conversions and from exercised warrants, as converted.
        warrant_shares: Shares that warrants still buy, as converted.
        pending_usd: Principal that may still become equity, including orders and commitments.
        pending_shares: Shares that it would become.
        order_usd: The part of `pending_usd` that orders offer.
    """

    dilution_max: Decimal
    valuation_usd: Decimal | None
    dilution: Decimal
    converted_shares: Decimal
    warrant_shares: Decimal
    pending_usd: Decimal
    pending_shares: Decimal
    order_usd: Decimal


class CapTableReport(msgspec.Struct, frozen=True, kw_only=True):
    """A whole cap table.

    Invariants: the holders' shares and the pool's available ones sum to the totals.

    Attributes:
        issuer_id: The issuer.
        at: The instant of the table.
        known: The last sequence whose events count; None for all.
        outstanding_shares: Stock.
        fully_diluted_shares: Stock, options, promises, warrants that have not expired, and the available pool.
        as_converted_shares: The same in common shares at the conversion prices then.
        holders: By id.
        classes: By id.
        instruments: By id.
        plan: The pool.
        dilution: The part that instruments take; None without a limit.
        checks: Inconsistencies of the table.
        last_sequence: The last event that it includes.
    """

    issuer_id: str
    at: datetime
    known: int | None
    outstanding_shares: int
    fully_diluted_shares: int
    as_converted_shares: Decimal
    holders: tuple[HolderLine, ...]
    classes: tuple[ClassLine, ...]
    instruments: tuple[InstrumentLine, ...]
    plan: PlanLine
    dilution: DilutionLine | None
    checks: tuple[Check, ...]
    last_sequence: int


def build_report(history: History, at: datetime, known: int | None = None) -> CapTableReport:
    """Return the cap table at `at`, from the events that the log held at the sequence `known`.

    Raises:
        Refusal: ``issuer_unknown``: it was not formed by then.
    """
    past = history.until(at, known)
    issuer, instruments = past.get_issuer(), past.list_instruments()
    checks = list_checks(past, at)
    return render_report(issuer, instruments, at, known=known, last_sequence=past.last_sequence, checks=checks)


def render_report(
    issuer: Issuer,
    instruments: dict[str, Instrument],
    at: datetime,
    *,
    known: int | None,
    last_sequence: int,
    checks: tuple[Check, ...] = (),
) -> CapTableReport:
    """Return the cap table of an issuer and its instruments, from the history or from a branch."""
    rows = list_rows(issuer, at)
    outstanding = sum(row.shares for row in rows if row.kind == "stock")
    return CapTableReport(
        issuer_id=issuer.formed.issuer_id,
        at=at,
        known=known,
        outstanding_shares=outstanding,
        fully_diluted_shares=sum(row.shares for row in rows),
        as_converted_shares=round_shares(measure_company(issuer, at)),
        holders=tuple(_list_holders(issuer, rows, instruments)),
        classes=tuple(_list_classes(issuer, at, outstanding)),
        instruments=tuple(_render_instrument(instruments[each]) for each in sorted(instruments)),
        plan=_render_plan(issuer),
        dilution=_render_dilution(issuer),
        checks=checks,
        last_sequence=last_sequence,
    )


def _measure_part(part: Fraction | int, whole: Fraction | int) -> Decimal:
    """Return a part of a whole; zero if the whole is zero."""
    return round_shares(Fraction(part) / whole if whole else Fraction(0))


def _list_holders(issuer: Issuer, rows: tuple[Row, ...], instruments: dict[str, Instrument]) -> Iterator[HolderLine]:
    stock, everything, principal = dict[str, int](), dict[str, int](), dict[str, Decimal]()
    converted: dict[str, Fraction] = {}
    for row in rows:
        if row.holder_id is not None:
            everything[row.holder_id] = everything.get(row.holder_id, 0) + row.shares
            converted[row.holder_id] = converted.get(row.holder_id, Fraction(0)) + convert_row(issuer, row)
            stock[row.holder_id] = stock.get(row.holder_id, 0) + (row.shares if row.kind == "stock" else 0)
    for instrument in instruments.values():
        holder_id = instrument.holder_id
        principal[holder_id] = principal.get(holder_id, ZERO) + instrument.outstanding_usd
    whole = sum((convert_row(issuer, row) for row in rows), Fraction(0))
    for holder_id in sorted(everything.keys() | principal.keys()):
        named = issuer.stakeholders.get(holder_id)
        yield HolderLine(
            holder_id=holder_id,
            name=None if named is None else named.name,
            outstanding_shares=stock.get(holder_id, 0),
            fully_diluted_shares=everything.get(holder_id, 0),
            as_converted_shares=round_shares(converted.get(holder_id, Fraction(0))),
            outstanding_part=_measure_part(stock.get(holder_id, 0), sum(stock.values())),
            fully_diluted_part=_measure_part(converted.get(holder_id, Fraction(0)), whole),
            principal_usd=principal.get(holder_id, ZERO),
        )


def _list_classes(issuer: Issuer, at: datetime, outstanding: int) -> Iterator[ClassLine]:
    for class_id, stock_class in sorted(issuer.classes.items()):
        rights = count_warrant_shares(issuer, class_id, at)
        issue_price, conversion_price = stock_class.price_usd, stock_class.conversion_price_usd
        yield ClassLine(
            class_id=class_id,
            kind=stock_class.created.kind,
            authorised_shares=stock_class.shares_authorised,
            outstanding_shares=stock_class.shares_outstanding,
            warrant_shares=rights,
            issuable_shares=stock_class.shares_authorised - stock_class.shares_outstanding,
            outstanding_part=_measure_part(stock_class.shares_outstanding, outstanding),
            issue_price_usd=None if issue_price is None else round_ratio(issue_price),
            conversion_price_usd=None if conversion_price is None else round_ratio(conversion_price),
            as_converted_shares=round_shares(stock_class.shares_outstanding * stock_class.conversion_ratio),
        )


def _render_instrument(instrument: Instrument) -> InstrumentLine:
    return InstrumentLine(
        instrument_id=instrument.issued.instrument_id,
        holder_id=instrument.holder_id,
        status=instrument.status,
        commitment_usd=instrument.commitment_usd,
        principal_usd=instrument.principal_usd,
        converted_usd=instrument.converted_usd,
        outstanding_usd=instrument.outstanding_usd,
        undrawn_usd=instrument.open_usd,
    )


def _render_dilution(issuer: Issuer) -> DilutionLine | None:
    limit = issuer.limit
    if limit is None or limit.dilution_max is None:
        return None
    measured = measure_dilution(issuer)
    amounts = {subject_id: sum_exposures(known) for subject_id, known in issuer.exposures.items()}
    orders = (amount for subject_id, amount in amounts.items() if is_id(subject_id, "ord"))
    return DilutionLine(
        dilution_max=limit.dilution_max,
        valuation_usd=limit.valuation_usd,
        dilution=round_shares(measured.part),
        converted_shares=round_shares(measured.converted),
        warrant_shares=round_shares(measured.warrants),
        pending_usd=sum(amounts.values(), ZERO),
        pending_shares=round_shares(measured.pending),
        order_usd=sum(orders, ZERO),
    )


def _render_plan(issuer: Issuer) -> PlanLine:
    outstanding = sum(option.shares_outstanding for option in issuer.options.values())
    return PlanLine(
        reserved_shares=issuer.shares_reserved,
        granted_shares=issuer.shares_granted,
        exercised_shares=issuer.shares_granted - outstanding,
        promised_shares=issuer.shares_promised,
        available_shares=issuer.shares_available,
    )
