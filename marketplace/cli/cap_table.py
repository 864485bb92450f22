"""A cap table for people: holders, classes of stock, the pool, instruments, and the limit."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

from rich.table import Table

from marketplace.captable.report import CapTableReport, ClassLine, HolderLine, InstrumentLine
from marketplace.cli.output import CONSOLE, mark
from marketplace.core.rounding import round_half_even

PERCENT_PLACES: Final = 4
PRICE_PLACES: Final = 6
SHARE_PLACES: Final = 2


def show_cap_table(report: CapTableReport) -> None:
    """Print a cap table, rounded for reading."""
    known = "" if report.known is None else f", as known at event {report.known}"
    CONSOLE.print(mark("bold", report.issuer_id), f"as of {report.at:%Y-%m-%d %H:%M:%S} UTC{known}", soft_wrap=True)
    CONSOLE.print(_list_holders(report))
    CONSOLE.print(_list_classes(report.classes))
    CONSOLE.print(_list_plan(report))
    if report.instruments:
        names = {line.holder_id: line.name or line.holder_id for line in report.holders}
        CONSOLE.print(_list_instruments(report.instruments, names))
    limit = report.dilution
    if limit is not None:
        CONSOLE.print(
            f"Instruments amount to {_percent(limit.dilution)}, of at most {_percent(limit.dilution_max)}: "
            f"{render_shares(limit.converted_shares)} shares converted, "
            f"{render_shares(limit.warrant_shares)} under warrants, "
            f"{limit.pending_usd:,} USD that may still become {render_shares(limit.pending_shares)} shares",
            soft_wrap=True,
        )


def _build(title: str, *columns: str, left: int = 1) -> Table:
    """Return an empty table: text columns on the left, then numbers. Numbers and the row's name are never wrapped."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        is_text = index < left
        whole = not is_text or index == 0
        table.add_column(column, justify="left" if is_text else "right", no_wrap=whole, overflow="fold")
    return table


def _fill(table: Table, rows: Iterable[tuple[str, ...]], footer: Iterable[str] = ()) -> Table:
    for row in rows:
        table.add_row(*row)
    for column, text in zip(table.columns, footer, strict=False):
        column.footer = text
        table.show_footer = True
    return table


def _list_holders(report: CapTableReport) -> Table:
    table = _build("Holders", "holder", "stock", "of stock", "fully diluted", "as converted", "of the company")
    whole = Fraction(report.as_converted_shares)
    pool = report.plan.available_shares
    rows = [_render_holder(line) for line in sorted(report.holders, key=_rank)]
    if pool:
        part = _percent(pool / whole)
        rows.append(("(pool, not granted)", "", "", f"{pool:,}", f"{pool:,}", part))
    total = f"{report.fully_diluted_shares:,}"
    stock = f"{report.outstanding_shares:,}"
    converted = render_shares(report.as_converted_shares)
    return _fill(table, rows, ("total", stock, "100%" if report.outstanding_shares else "", total, converted, "100%"))


def _rank(line: HolderLine) -> tuple[Decimal, str]:
    return -line.as_converted_shares, line.holder_id


def _render_holder(line: HolderLine) -> tuple[str, ...]:
    return (
        line.name or line.holder_id,
        f"{line.outstanding_shares:,}",
        _percent(line.outstanding_part),
        f"{line.fully_diluted_shares:,}",
        render_shares(line.as_converted_shares),
        _percent(line.fully_diluted_part),
    )


def _list_classes(classes: Sequence[ClassLine]) -> Table:
    """Return the classes, without warrants and conversion prices if no class has its own."""
    warrants = any(line.warrant_shares for line in classes)
    protected = any(line.conversion_price_usd != line.issue_price_usd for line in classes)
    columns = ["class", "kind", "authorised", "outstanding", *(["under\nwarrants"] * warrants), "to be\nissued"]
    columns += ["issue\nprice, USD", *(["converts\nat, USD"] * protected), "as\nconverted"]
    table = _build("Classes of stock", *columns, left=2)
    return _fill(
        table,
        (
            (
                line.class_id,
                line.kind,
                f"{line.authorised_shares:,}",
                f"{line.outstanding_shares:,}",
                *([f"{line.warrant_shares:,}"] * warrants),
                f"{line.issuable_shares:,}",
                _price(line.issue_price_usd),
                *([_price(line.conversion_price_usd)] * protected),
                render_shares(line.as_converted_shares),
            )
            for line in classes
        ),
    )


def _list_plan(report: CapTableReport) -> Table:
    plan = report.plan
    table = _build("Option pool", "reserved", "granted", "of it exercised", "promised", "available", left=0)
    counts = (
        plan.reserved_shares,
        plan.granted_shares,
        plan.exercised_shares,
        plan.promised_shares,
        plan.available_shares,
    )
    return _fill(table, [tuple(f"{count:,}" for count in counts)])


def _list_instruments(instruments: Iterable[InstrumentLine], names: Mapping[str, str]) -> Table:
    columns = ("instrument", "holder", "draw", "commitment", "principal", "converted", "outstanding", "undrawn")
    table = _build("Instruments, USD", *columns, left=3)
    rows = list(instruments)
    sums = (
        sum((getattr(line, name) for line in rows), Decimal(0))
        for name in ("commitment_usd", "principal_usd", "converted_usd", "outstanding_usd", "undrawn_usd")
    )
    return _fill(
        table,
        (
            (
                line.instrument_id,
                names[line.holder_id],
                "drawn" if line.status == "active" and not line.undrawn_usd else line.status,
                f"{line.commitment_usd:,}",
                f"{line.principal_usd:,}",
                f"{line.converted_usd:,}",
                f"{line.outstanding_usd:,}",
                f"{line.undrawn_usd:,}",
            )
            for line in rows
        ),
        ("total", "", "", *(f"{amount:,}" for amount in sums)),
    )


def _percent(part: Decimal | Fraction) -> str:
    return f"{round_half_even(Fraction(part) * 100, PERCENT_PLACES):,}%"


def _price(price: Decimal | None) -> str:
    return "" if price is None else f"{round_half_even(Fraction(price), PRICE_PLACES).normalize():f}"


def render_shares(shares: Decimal) -> str:
    """Return a number of shares with thousands separators, rounded if it is not whole."""
    return f"{round_half_even(Fraction(shares), SHARE_PLACES if shares % 1 else 0):,}"
