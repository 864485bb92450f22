"""Methods of the client for cap tables, scenarios of rounds and sales, OCF packages and portfolios."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.cap_tables import (
    AskRecoveryBody,
    HoldingView,
    ImportIssuerBody,
    ImportReport,
    PlotExitsBody,
    PlotRoundsBody,
    ScenarioBody,
)
from marketplace.captable.explanation import Explanation
from marketplace.captable.plots import ExitPoint, RoundPoint
from marketplace.captable.portfolio import Portfolio, Recovery
from marketplace.captable.report import CapTableReport
from marketplace.captable.scenario import CapTableScenario
from marketplace.client.transport import Point, Transport
from marketplace.projections.views.equity import CapTableView, PrincipalView


class CapTables(Transport):
    """Cap tables, scenarios, OCF packages and holders' portfolios."""

    async def get_cap_table(self, issuer_id: str, at: Point | None = None, *, known: int | None = None) -> CapTableView:
        """Return a cap table, now or as of `at`, by the events up to the sequence `known`."""
        return await self.get(f"/v1/issuers/{issuer_id}/cap-table", CapTableView, at=at, known=known)

    def list_principal(self, issuer_id: str, at: Point | None = None) -> AsyncIterator[PrincipalView]:
        """Yield the principal that may become shares, now or as of `at`; for the company and the platform."""
        return self.rows(f"/v1/issuers/{issuer_id}/principal", PrincipalView, at=at)

    def list_holdings(self, holder_id: str) -> AsyncIterator[HoldingView]:
        """Yield the securities that a party holds, of every issuer."""
        return self.rows("/v1/holdings", HoldingView, holder_id=holder_id)

    async def get_cap_table_report(
        self, issuer_id: str, at: datetime | str | None = None, known: int | None = None
    ) -> CapTableReport:
        """Return a cap table by holder, class and instrument, for the company and the platform.

        It is as of the instant `at`, by the events up to the sequence `known`; None: now, and all events.
        """
        return await self.get(f"/v1/issuers/{issuer_id}/cap-table/report", CapTableReport, at=at, known=known)

    async def explain_cap_table(
        self,
        issuer_id: str,
        *,
        at: datetime | str | None = None,
        known: int | None = None,
        holder_id: str | None = None,
        security: str | None = None,
    ) -> Explanation:
        """Return the numbers of a cap table with the events behind each; of one holder or security, or all."""
        path = f"/v1/issuers/{issuer_id}/cap-table/explain"
        return await self.get(path, Explanation, at=at, known=known, holder_id=holder_id, security=security)

    async def count_pending(self, issuer_id: str, body: ScenarioBody, **options: Any) -> CapTableScenario:
        """Return the cap table before and after a round on stated terms; nothing is recorded."""
        return await self.send(f"/v1/issuers/{issuer_id}/cap-table/scenario", CapTableScenario, body, **options)

    async def plot_rounds(self, issuer_id: str, body: PlotRoundsBody, **options: Any) -> list[RoundPoint]:
        """Return a round at several pre-money valuations; nothing is recorded."""
        return await self.send(f"/v1/issuers/{issuer_id}/what-if/rounds", list[RoundPoint], body, **options)

    async def plot_exits(self, issuer_id: str, body: PlotExitsBody, **options: Any) -> list[ExitPoint]:
        """Return what a sale pays each holder at several proceeds; nothing is recorded."""
        return await self.send(f"/v1/issuers/{issuer_id}/what-if/exits", list[ExitPoint], body, **options)

    async def get_portfolio(
        self,
        party_id: str,
        *,
        at: datetime | str | None = None,
        retail: str | None = None,
        own_cost: str | None = None,
    ) -> Portfolio:
        """Return a holder's portfolio.

        `retail` and `own_cost` are US dollars per GPU-hour by class, such as ``H100_SXM:2.99,A100:1.10``.
        """
        return await self.get(f"/v1/parties/{party_id}/portfolio", Portfolio, at=at, retail=retail, own_cost=own_cost)

    async def ask_recovery(self, party_id: str, body: AskRecoveryBody, **options: Any) -> Recovery:
        """Return which part of the companies must succeed to repay the granted compute, and a simulation of it."""
        return await self.send(f"/v1/parties/{party_id}/portfolio/recovery", Recovery, body, **options)

    async def judge_import(self, body: ImportIssuerBody, **options: Any) -> ImportReport:
        """Return every problem that an import of an OCF package would have; nothing is recorded."""
        return await self.send("/v1/issuers/import/dry-run", ImportReport, body, **options)

    async def import_issuer(self, body: ImportIssuerBody, **options: Any) -> ReceiptBody:
        """Import an issuer from an OCF package, as a whole or, if the package has a problem, not at all."""
        return await self.command("/v1/issuers/import", body, **options)

    async def export_issuer(self, issuer_id: str) -> bytes:
        """Return an issuer as the zip file of an OCF package."""
        return await self.download(f"/v1/issuers/{issuer_id}/ocf")
