"""Cap tables from the log: as of one time and as known at another, every number explained, and scenarios."""

import asyncio
import csv
import io
from typing import Any, Final

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, JSONBody

from marketplace.api.equity.information import load_sight
from marketplace.api.http.bodies.cap_tables import PlotExitsBody, PlotRoundsBody, ScenarioBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.queries import FreeWord, KnownSequence, OptionalInstantText, Read, Reader, Word, parse_instant
from marketplace.application.steps.access import is_company, load_issuer
from marketplace.captable.branch import begin_branch
from marketplace.captable.explanation import Explanation, explain_cap_table
from marketplace.captable.history import History
from marketplace.captable.plots import (
    ExitPoint,
    RoundPoint,
    list_exit_lines,
    list_prices,
    list_round_lines,
    play_exits,
    play_rounds,
)
from marketplace.captable.report import CapTableReport, build_report
from marketplace.captable.scenario import CapTableScenario, play_scenario
from marketplace.core.errors import Refusal
from marketplace.core.intervals import require_aware
from marketplace.domain.equity.information import Sight, require_full_to_play, require_full_to_read
from marketplace.domain.equity.issuer.terms import settle_terms
from marketplace.domain.refusals import refuse_unknown
from marketplace.execution.history import load_history
from marketplace.execution.unit_of_work import UnitOfWork
from marketplace.projections.access.parties import list_names

ENTRIES_MAX: Final = 20_000


@get("/{issuer_id:str}/cap-table/report", operation_id="cap_tables.get_report", summary="Read a cap table in full")
async def report(
    reader: Read, issuer_id: FromPath[str], at: OptionalInstantText = None, known: KnownSequence = None
) -> CapTableReport:
    """Return the cap table by holder, class and instrument, as of `at`, by the events up to the sequence `known`.

    A holder needs the depth ``full``.

    Raises:
        Refusal: ``issuer_unknown`` · ``depth_insufficient``.
    """
    history, sight = await _load_seen(reader, issuer_id)
    require_full_to_read(sight)
    instant = reader.now if at is None else parse_instant(at, "/at")
    return await _name_holders(reader, build_report(history, instant, known))


async def _name_holders(reader: Reader, report: CapTableReport) -> CapTableReport:
    """Return the report with the names of further parties, as far as the reader may name them."""
    unnamed = [line.holder_id for line in report.holders if line.name is None]
    if not unnamed:
        return report
    async with reader.connect() as connection:
        found = await list_names(connection, reader_id=reader.party_id, party_ids=unnamed, limit=len(unnamed))
    names = {party.party_id: party.name for party in found}
    holders = (msgspec.structs.replace(line, name=line.name or names.get(line.holder_id)) for line in report.holders)
    return msgspec.structs.replace(report, holders=tuple(holders))


@get("/{issuer_id:str}/cap-table/explain", summary="Explain a cap table")
async def explain(
    reader: Read,
    issuer_id: FromPath[str],
    *,
    at: OptionalInstantText = None,
    known: KnownSequence = None,
    holder_id: Word = None,
    security: FreeWord = None,
) -> Explanation:
    """Return every number of a cap table with the events behind it; of one holder, one security, or all.

    A holder sees its own rows and principal, and at the depth ``full`` everything.

    Raises:
        Refusal: ``issuer_unknown`` · ``request_invalid`` for a security of nothing · ``explanation_too_long`` above
            20,000 entries.
    """
    history, sight = await _load_seen(reader, issuer_id)
    holder_id = holder_id if sight.depth == "full" else reader.narrow(holder_id)
    instant = None if at is None else parse_instant(at, "/at")
    explained = explain_cap_table(history, at=instant, known=known, holder_id=holder_id, security=security)
    if security is not None and holder_id is None and not (explained.rows or explained.numbers or explained.principal):
        text = f"nothing that you see of the company is of the security {security!r}; take it from the cap table"
        raise Refusal("request_invalid", text, pointer="/security")
    entries = sum(len(row.entries) for row in explained.rows)
    if entries > ENTRIES_MAX:
        raise Refusal(
            "explanation_too_long",
            f"{entries} entries exceed the limit of {ENTRIES_MAX}; select a holder_id or a security",
            entries=entries,
        )
    return explained


async def _load_seen(reader: Reader, issuer_id: str) -> tuple[History, Sight]:
    """Return the history of an issuer that the reader may see, and how deep it sees.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    party_id, sight = reader.party_id, None
    if party_id is not None and not is_company(party_id, issuer_id):
        async with reader.connect() as connection:
            sight = await load_sight(connection, reader, issuer_id)
    history = await load_history(reader.services.handler.histories, issuer_id)
    if history.find_issuer() is None:
        raise refuse_unknown("issuer", issuer_id)
    return history, sight or Sight(issuer_id, party_id)


async def _load_branch_history(command: Commanded, issuer_id: str) -> History:
    await load_issuer(UnitOfWork(command.handler.cache, command.context), issuer_id)
    return await load_history(command.handler.histories, issuer_id)


@post(
    "/{issuer_id:str}/cap-table/scenario",
    status_code=200,
    operation_id="cap_tables.run_scenario",
    summary="Read a cap table with pending conversions",
)
async def count_pending(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[ScenarioBody]
) -> Response[CapTableScenario]:
    """Return the cap table before and after a round on stated terms, as of an instant. Nothing is recorded."""
    history = await _load_branch_history(command, issuer_id)
    at = command.context.at if data.at is None else data.at
    require_aware(at, "/at")
    scenario = await asyncio.to_thread(play_scenario, history, settle_terms(data.terms), at, data.known)
    return Response(scenario)


@post("/{issuer_id:str}/what-if/rounds", status_code=200, summary="Plot a round over a range of prices")
async def plot_rounds(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[PlotRoundsBody]
) -> Response[list[RoundPoint]]:
    """Return price, shares and dilution of every holder at each pre-money valuation. Nothing is recorded."""
    history = await _load_branch_history(command, issuer_id)
    branch = begin_branch(history, command.context.at)
    points = await asyncio.to_thread(play_rounds, branch, settle_terms(data.terms), list_prices(data.range))
    return _answer_csv(list_round_lines(points)) if data.format == "csv" else Response(list(points))


@post("/{issuer_id:str}/what-if/exits", status_code=200, summary="Plot a sale over a range of prices")
async def plot_exits(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[PlotExitsBody]
) -> Response[list[ExitPoint]]:
    """Return what every holder is paid in a sale at each price, after the given rounds. Nothing is recorded.

    A holder needs the depth ``full``; see ``/holder-terms``.
    """
    history, sight = await _load_seen(Reader(command.services, command.principal, 0), issuer_id)
    require_full_to_play(sight)
    branch = begin_branch(history, command.context.at)
    prices = list_prices(data.range)
    rounds = [settle_terms(draft) for draft in data.rounds]
    played = await asyncio.to_thread(play_exits, branch, prices, rounds, data.safe_seniority)
    return _answer_csv(list_exit_lines(played)) if data.format == "csv" else Response(list(played))


def _answer_csv(lines: list[tuple[str, ...]]) -> Response[Any]:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return Response(text.getvalue().encode(), media_type="text/csv")


EXPLANATION_HANDLERS: Final = (report, explain, count_pending, plot_rounds, plot_exits)
