"""Methods of the client for cap tables, scenarios of rounds and sales, OCF packages and portfolios."""

from datetime import datetime
from typing import Any, Literal

from marketplace.api.http.bodies.cap_tables import (
    PlotExitsBody,
    PlotRoundsBody,
    ScenarioBody,
)
from marketplace.captable.explanation import Explanation
from marketplace.captable.plots import ExitPoint, Range, RoundPoint
from marketplace.captable.report import CapTableReport
from marketplace.captable.scenario import CapTableScenario
from marketplace.client.transport import Group, Point, segment
from marketplace.domain.equity.issuer.terms import RoundDraft
from marketplace.projections.views.equity import CapTableView


class CapTables(Group):
    """Cap tables of an issuer, explained, and scenarios."""

    async def get(self, issuer_id: str, *, at: Point | None = None, known: int | None = None) -> CapTableView:
        """Return a cap table, now or as of `at`, by the events up to the sequence `known`."""
        return await self._api.get(f"/v1/issuers/{segment(issuer_id)}/cap-table", CapTableView, at=at, known=known)

    async def get_report(
        self, issuer_id: str, *, at: datetime | str | None = None, known: int | None = None
    ) -> CapTableReport:
        """Return a cap table by holder, class and instrument, for the company and the platform.

        It is as of the instant `at`, by the events up to the sequence `known`; None: now, and all events.
        """
        return await self._api.get(
            f"/v1/issuers/{segment(issuer_id)}/cap-table/report", CapTableReport, at=at, known=known
        )

    async def explain(
        self,
        issuer_id: str,
        *,
        at: datetime | str | None = None,
        known: int | None = None,
        holder_id: str | None = None,
        security: str | None = None,
    ) -> Explanation:
        """Return the numbers of a cap table with the events behind each; of one holder or security, or all."""
        path = f"/v1/issuers/{segment(issuer_id)}/cap-table/explain"
        return await self._api.get(path, Explanation, at=at, known=known, holder_id=holder_id, security=security)

    async def run_scenario(
        self, issuer_id: str, *, terms: RoundDraft, at: datetime | None = None, known: int | None = None, **options: Any
    ) -> CapTableScenario:
        """Return the cap table before and after a round on stated terms; nothing is recorded."""
        body = ScenarioBody(terms=terms, at=at, known=known)
        return await self._api.send(
            f"/v1/issuers/{segment(issuer_id)}/cap-table/scenario", CapTableScenario, body, **options
        )

    async def plot_rounds(
        self,
        issuer_id: str,
        *,
        terms: RoundDraft,
        range: Range,  # noqa: A002 - the member's name
        format: Literal["json", "csv"] = "json",  # noqa: A002 - the member's name
        **options: Any,
    ) -> list[RoundPoint]:
        """Return a round at several pre-money valuations; nothing is recorded."""
        body = PlotRoundsBody(terms=terms, range=range, format=format)
        return await self._api.send(
            f"/v1/issuers/{segment(issuer_id)}/what-if/rounds", list[RoundPoint], body, **options
        )

    async def plot_exits(
        self,
        issuer_id: str,
        *,
        range: Range,  # noqa: A002 - the member's name
        rounds: tuple[RoundDraft, ...] = (),
        safe_seniority: int | None = None,
        format: Literal["json", "csv"] = "json",  # noqa: A002 - the member's name
        **options: Any,
    ) -> list[ExitPoint]:
        """Return what a sale pays each holder at several proceeds; nothing is recorded."""
        body = PlotExitsBody(range=range, rounds=rounds, safe_seniority=safe_seniority, format=format)
        return await self._api.send(f"/v1/issuers/{segment(issuer_id)}/what-if/exits", list[ExitPoint], body, **options)
