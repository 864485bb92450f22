"""Methods of the client for delivery: grants from their start to their end, and statements of their periods."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Unpack

from events.grant import Choice
from events.statement import Reference
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.delivery import (
    AnswerDisputeBody,
    ConcedePartBody,
    DegradeGrantBody,
    DisputeStatementBody,
    PrioritiseGrantBody,
    ReferDisputeBody,
    RescheduleGrantBody,
    ResolveStatementBody,
    ResumeGrantBody,
    SubstituteGrantBody,
    TerminateGrantBody,
    TransferGrantBody,
)
from marketplace.api.http.bodies.reasons import TimedReasonBody
from marketplace.api.http.bodies.supply import ResellGrantBody
from marketplace.client.transport import Group, Listed, Point, Statuses, segment
from marketplace.projections.views.billing import EarningsView, StatementView
from marketplace.projections.views.delivery import GrantAtView, GrantView


class Grants(Group):
    """Grants. The wrong side of a grant is refused with ``wrong_side``."""

    async def get(self, grant_id: str, *, expand: Sequence[str] = ()) -> GrantView:
        """Return a grant; ``statement`` in `expand` adds the latest statement of its usage."""
        return await self._api.get(f"/v1/grants/{segment(grant_id)}", GrantView, expand=list(expand))

    def list(
        self,
        *,
        party_id: str | None = None,
        status: Statuses = None,
        expand: Sequence[str] = (),
        **listed: Unpack[Listed],
    ) -> AsyncIterator[GrantView]:
        """Yield the party's own grants by id, as its startup, provider or holder; `expand` as in `get_grant`."""
        query: dict[str, Any] = {"party_id": party_id, "status": status, "expand": list(expand)}
        return self._api.rows("/v1/grants", GrantView, **query, **listed)

    async def get_at(self, grant_id: str, *, at: Point | None = None) -> GrantAtView:
        """Return the changing fields of a grant as of a sequence or an instant.

        Raises:
            ProblemError: ``grant_unknown``, also if it was issued later.
        """
        return await self._api.get(f"/v1/grants/{segment(grant_id)}/history", GrantAtView, at=at)

    def list_at(self, *, at: Point | None, party_id: str | None = None) -> AsyncIterator[GrantAtView]:
        """Yield the changing fields of the party's grants, by id, now or as of a sequence or an instant.

        `party_id` is for the platform: whose grants; None: all.
        """
        return self._api.rows("/v1/grants/history", GrantAtView, at=at, party_id=party_id)

    async def activate(self, grant_id: str, **options: Any) -> ReceiptBody:
        """Activate a grant, as the provider. A worker does so by itself at the start of each grant.

        Raises:
            ProblemError: ``grant_unknown`` · ``grant_<status>`` · ``grant_not_due`` before its start.
        """
        return await self._api.command(f"/v1/grants/{segment(grant_id)}/activate", **options)

    async def degrade(
        self,
        grant_id: str,
        *,
        nodes_available: int,
        at: datetime,
        reason: str,
        until: datetime | None = None,
        **options: Any,
    ) -> ReceiptBody:
        """Report, as the provider, that fewer nodes work than were granted.

        Raises:
            ProblemError: ``grant_unknown`` · ``grant_<status>`` · ``nodes_above_grant``.
        """
        body = DegradeGrantBody(nodes_available=nodes_available, at=at, reason=reason, until=until)
        return await self._api.command(f"/v1/grants/{segment(grant_id)}/degrade", body, **options)

    async def suspend(self, grant_id: str, *, at: datetime, reason: str, **options: Any) -> ReceiptBody:
        """Report that no node of a grant works from an instant on, until it is resumed: its provider, or its startup.

        Raises:
            ProblemError: ``grant_unknown`` · ``grant_<status>``, unless it is active or degraded · for the startup that
                pays for it or uses it ``grant_not_due`` · ``capacity_delivered``.
        """
        return await self._api.command(
            f"/v1/grants/{segment(grant_id)}/suspend", TimedReasonBody(at=at, reason=reason), **options
        )

    async def resume(self, grant_id: str, *, at: datetime, **options: Any) -> ReceiptBody:
        """Report, as the provider, that all nodes of a suspended or degraded grant work again from an instant on.

        Raises:
            ProblemError: ``grant_unknown`` · ``grant_<status>`` · ``capacity_unmetered`` · ``resumption_backdated`` ·
                ``nodes_failed``.
        """
        return await self._api.command(f"/v1/grants/{segment(grant_id)}/resume", ResumeGrantBody(at=at), **options)

    async def substitute(self, grant_id: str, *, pool_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Move the rest of a grant to another pool of its provider, as the provider, at no higher price.

        Raises:
            ProblemError: ``grant_unknown`` · ``pool_unknown`` · ``pool_unlike`` if its nodes are of another kind ·
                ``pool_unwelcome`` · ``site_unwelcome`` if the order or the mandate excludes it · ``grant_over`` ·
                ``substitute_full`` · ``pool_unchanged``.
        """
        body = SubstituteGrantBody(pool_id=pool_id, reason=reason)
        return await self._api.command(f"/v1/grants/{segment(grant_id)}/substitute", body, **options)

    async def reschedule(
        self, grant_id: str, *, choice: Choice, start: datetime | None = None, **options: Any
    ) -> ReceiptBody:
        """Shorten or move, as its payer, a grant that cannot begin because its site is late or its nodes are dark.

        Raises:
            ProblemError: ``grant_unknown`` · ``wrong_side`` · ``grant_<status>`` · ``site_on_time`` ·
                ``ready_after_end`` · ``start_unaligned`` · ``start_too_early`` · ``start_too_late`` · ``period_over`` ·
                ``capacity_delivered`` · ``hours_resold`` · ``grant_bought`` · ``mandate_revoked`` ·
                ``mandate_expired`` · ``resale_held`` · ``lot_frozen`` · ``hours_taken`` · ``site_power_exceeded``.
        """
        body = RescheduleGrantBody(choice=choice, start=start)
        return await self._api.command(f"/v1/grants/{grant_id}/reschedule", body, **options)

    async def transfer(self, grant_id: str, *, startup_id: str, **options: Any) -> ReceiptBody:
        """Transfer the use of a grant to another cleared startup, as its startup, which still pays and owes the equity.

        Raises:
            ProblemError: ``grant_unknown`` · ``party_unknown`` · ``party_not_cleared`` · ``role_missing`` ·
                ``parties_related`` · ``transfer_unwelcome`` · ``resale_held`` · ``grant_<status>`` ·
                ``limit_exceeded``.
        """
        body = TransferGrantBody(startup_id=startup_id)
        return await self._api.command(f"/v1/grants/{segment(grant_id)}/transfer", body, **options)

    async def prioritise(self, grant_id: str, *, priority: int, **options: Any) -> ReceiptBody:
        """Set, as the startup, a grant's rank for allocated usage: usage goes to the grant with the lowest first."""
        body = PrioritiseGrantBody(priority=priority)
        return await self._api.command(f"/v1/grants/{segment(grant_id)}/prioritise", body, **options)

    async def pay_stage(self, grant_id: str, **options: Any) -> ReceiptBody:
        """Set aside, as the payer, the cash of a staged grant's next stage, or of all stages that have begun.

        Raises:
            ProblemError: ``grant_unknown`` · ``wrong_side`` · ``grant_prepaid`` · ``stages_paid`` ·
                ``funds_insufficient`` · ``funds_reserved``.
        """
        return await self._api.command(f"/v1/grants/{segment(grant_id)}/stages", **options)

    async def terminate(
        self, grant_id: str, *, at: datetime, reason: str, for_cause: bool = False, **options: Any
    ) -> ReceiptBody:
        """End a grant early, as its startup or provider, after the notice of its terms or for cause.

        Without cause, the side that ends it may owe the other one a fee: `ends` of the grant.
        """
        body = TerminateGrantBody(at=at, reason=reason, for_cause=for_cause)
        return await self._api.command(f"/v1/grants/{segment(grant_id)}/terminate", body, **options)

    async def resell(
        self,
        grant_id: str,
        *,
        nodes: int,
        start: datetime,
        end: datetime,
        ask_usd_per_gpu_hour: Decimal,
        nodes_min: int = 1,
        duration_hours_min: int = 1,
        mandate_ids: tuple[str, ...] = (),
        **options: Any,
    ) -> ReceiptBody:
        """Offer unused nodes of a grant for resale, as its startup; the receipt's id is the lot's."""
        body = ResellGrantBody(
            nodes=nodes,
            start=start,
            end=end,
            ask_usd_per_gpu_hour=ask_usd_per_gpu_hour,
            nodes_min=nodes_min,
            duration_hours_min=duration_hours_min,
            mandate_ids=mandate_ids,
        )
        return await self._api.command(f"/v1/grants/{segment(grant_id)}/resell", body, **options)


class Statements(Group):
    """Statements: the priced usage of a grant in a period; accepted, disputed, resolved."""

    async def get(self, statement_id: str) -> StatementView:
        """Return a statement, with its charges and credits."""
        return await self._api.get(f"/v1/statements/{segment(statement_id)}", StatementView)

    def list(
        self,
        *,
        party_id: str | None = None,
        grant_id: str | None = None,
        service_line_id: str | None = None,
        status: Statuses = None,
        **listed: Unpack[Listed],
    ) -> AsyncIterator[StatementView]:
        """Yield statements, of a party, a grant or a service line."""
        query = {"party_id": party_id, "grant_id": grant_id, "service_line_id": service_line_id}
        return self._api.rows("/v1/statements", StatementView, status=status, **query, **listed)

    async def sum_earnings(self, *, start: datetime, end: datetime, party_id: str | None = None) -> EarningsView:
        """Return the sums of a provider's statements whose periods end in ``(start, end]``.

        Args:
            start: A period that ends at this instant is left out.
            end: A period that ends at this instant is included.
            party_id: The provider; None: the key's own party.
        """
        return await self._api.get("/v1/statements/earnings", EarningsView, start=start, end=end, party_id=party_id)

    async def accept(self, statement_id: str, **options: Any) -> ReceiptBody:
        """Accept a statement. It settles once all who pay accepted, at the latest after the acceptance period."""
        return await self._api.command(f"/v1/statements/{segment(statement_id)}/accept", **options)

    async def dispute(
        self,
        statement_id: str,
        *,
        gpu_seconds_counted: int | None = None,
        hours_counted: Decimal | None = None,
        reason: str,
        evidence: tuple[Reference, ...] = (),
        **options: Any,
    ) -> ReceiptBody:
        """Dispute a statement until its `accept_until`, as one who pays it: count less delivery than it charges."""
        body = DisputeStatementBody(
            gpu_seconds_counted=gpu_seconds_counted, hours_counted=hours_counted, reason=reason, evidence=evidence
        )
        return await self._api.command(f"/v1/statements/{segment(statement_id)}/dispute", body, **options)

    async def answer_dispute(
        self,
        statement_id: str,
        *,
        gpu_seconds: int | None = None,
        hours: Decimal | None = None,
        reason: str,
        evidence: tuple[Reference, ...] = (),
        **options: Any,
    ) -> ReceiptBody:
        """Answer the other side of a dispute, when it is the sender's turn: offer an amount, or insist."""
        body = AnswerDisputeBody(gpu_seconds=gpu_seconds, hours=hours, reason=reason, evidence=evidence)
        return await self._api.command(f"/v1/statements/{segment(statement_id)}/answer", body, **options)

    async def concede_part(
        self,
        statement_id: str,
        *,
        gpu_seconds: int | None = None,
        hours: Decimal | None = None,
        reason: str,
        **options: Any,
    ) -> ReceiptBody:
        """Give up a part of a dispute for good, by the sender's new total for the period; the rest stays disputed."""
        body = ConcedePartBody(gpu_seconds=gpu_seconds, hours=hours, reason=reason)
        return await self._api.command(f"/v1/statements/{segment(statement_id)}/concede", body, **options)

    async def refer_dispute(
        self, statement_id: str, *, reason: str, evidence: tuple[Reference, ...] = (), **options: Any
    ) -> ReceiptBody:
        """Ask the platform to decide a dispute, after an answer of each side or 14 days. Its decision is final."""
        body = ReferDisputeBody(reason=reason, evidence=evidence)
        return await self._api.command(f"/v1/statements/{segment(statement_id)}/refer", body, **options)

    async def resolve(
        self,
        statement_id: str,
        *,
        gpu_seconds: int | None = None,
        hours: Decimal | None = None,
        reason: str,
        **options: Any,
    ) -> ReceiptBody:
        """End a dispute: as the provider, concede; as the platform, decide."""
        body = ResolveStatementBody(gpu_seconds=gpu_seconds, hours=hours, reason=reason)
        return await self._api.command(f"/v1/statements/{segment(statement_id)}/resolve", body, **options)
