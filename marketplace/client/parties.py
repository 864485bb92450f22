"""Methods of the client for parties and their API keys."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Unpack

from events.register import RelationKind
from events.types import Role, Stage
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.cap_tables import AskRecoveryBody
from marketplace.api.http.bodies.parties import (
    ClearPartyBody,
    IssuedKey,
    IssueKeyBody,
    KeyView,
    RegisterPartyBody,
    RelationBody,
    RoleBody,
    StageBody,
)
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.captable.portfolio import Portfolio, Recovery
from marketplace.client.transport import Group, Listed, Statuses, segment
from marketplace.projections.views.access import PartyName, PartyView, RelationView


class Parties(Group):
    """Parties, their relations and their portfolios; a tenant sees only itself."""

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
        return await self._api.get(
            f"/v1/parties/{segment(party_id)}/portfolio", Portfolio, at=at, retail=retail, own_cost=own_cost
        )

    async def estimate_recovery(
        self,
        party_id: str,
        *,
        success_part: Decimal,
        multiple: Decimal,
        cost_per_granted_usd: Decimal,
        grants: int,
        trials: int = 1000,
        seed: int = 1,
        multiples: tuple[Decimal, ...] = (Decimal(2), Decimal(5), Decimal(10), Decimal(20), Decimal(50)),
        costs_per_granted_usd: tuple[Decimal, ...] = (Decimal(1), Decimal("0.5"), Decimal("0.25")),
        **options: Any,
    ) -> Recovery:
        """Return which part of the companies must succeed to repay the granted compute, and a simulation of it."""
        body = AskRecoveryBody(
            success_part=success_part,
            multiple=multiple,
            cost_per_granted_usd=cost_per_granted_usd,
            grants=grants,
            trials=trials,
            seed=seed,
            multiples=multiples,
            costs_per_granted_usd=costs_per_granted_usd,
        )
        return await self._api.send(f"/v1/parties/{segment(party_id)}/portfolio/recovery", Recovery, body, **options)

    async def register(
        self, *, name: str, roles: tuple[Role, ...], jurisdiction: str, sector: str | None = None, **options: Any
    ) -> ReceiptBody:
        """Register an organisation, as the platform, and open its account: its id with the prefix ``acc_``."""
        body = RegisterPartyBody(name=name, roles=roles, jurisdiction=jurisdiction, sector=sector)
        return await self._api.command("/v1/parties", body, **options)

    async def clear(self, party_id: str, *, checks: tuple[str, ...], **options: Any) -> ReceiptBody:
        """Record, as the platform, the checks that a party has passed. It may trade from then on."""
        return await self._api.command(
            f"/v1/parties/{segment(party_id)}/clear", ClearPartyBody(checks=checks), **options
        )

    async def suspend(self, party_id: str, *, reason: str, **options: Any) -> ReceiptBody:
        """Suspend a party, as the platform: it can begin nothing new, and what it began continues.

        Raises:
            ProblemError: ``platform_only`` · ``party_unknown``.
        """
        return await self._api.command(f"/v1/parties/{segment(party_id)}/suspend", ReasonBody(reason=reason), **options)

    async def add_role(self, party_id: str, *, role: Role, reason: str, **options: Any) -> ReceiptBody:
        """Give a party another role. With the party's own key, this only asks the platform for the role.

        Raises:
            ProblemError: ``party_unknown`` · ``role_exists``.
        """
        body = RoleBody(role=role, reason=reason)
        return await self._api.command(f"/v1/parties/{segment(party_id)}/roles", body, **options)

    async def refuse_role(self, party_id: str, *, role: Role, reason: str, **options: Any) -> ReceiptBody:
        """Refuse a requested role, as the platform; withdraw the request, as the party.

        Raises:
            ProblemError: ``party_unknown`` · ``role_not_requested``.
        """
        body = RoleBody(role=role, reason=reason)
        return await self._api.command(f"/v1/parties/{segment(party_id)}/roles/refuse", body, **options)

    async def record_stage(self, party_id: str, *, stage: Stage, **options: Any) -> ReceiptBody:
        """Record how far a company has come, as the platform. Mandates may take only some stages.

        Raises:
            ProblemError: ``platform_only`` · ``party_unknown``.
        """
        return await self._api.command(f"/v1/parties/{segment(party_id)}/stage", StageBody(stage=stage), **options)

    async def declare_relation(
        self,
        party_id: str,
        *,
        kind: RelationKind,
        related_id: str | None = None,
        owner: str | None = None,
        since: datetime | None = None,
        reason: str,
        **options: Any,
    ) -> ReceiptBody:
        """State an owner or affiliate, as the party; record what was found, as the platform.

        The receipt's id is the relation's, or that of the request if it waits for a second person.

        Raises:
            ProblemError: ``party_unknown`` · ``relation_ambiguous`` · ``relation_to_itself`` · ``since_future`` ·
                ``relations_too_many`` · ``person_missing``.
        """
        body = RelationBody(kind=kind, related_id=related_id, owner=owner, since=since, reason=reason)
        return await self._api.command(f"/v1/parties/{segment(party_id)}/relations", body, **options)

    async def end_relation(self, party_id: str, relation_id: str, *, reason: str, **options: Any) -> ReceiptBody:
        """End a relation, as the platform; take back what the party alone stated, as the party.

        Raises:
            ProblemError: ``relation_unknown`` · ``relation_firm`` · ``relation_unstated``.
        """
        path = f"/v1/parties/{segment(party_id)}/relations/{segment(relation_id)}/end"
        return await self._api.command(path, ReasonBody(reason=reason), **options)

    def list_relations(self, party_id: str) -> AsyncIterator[RelationView]:
        """Yield the relations of a party by id, ended ones too."""
        return self._api.rows(f"/v1/parties/{segment(party_id)}/relations", RelationView)

    async def get(self, party_id: str) -> PartyView:
        """Return a party, with the checks that it passed or the reason of its suspension.

        Raises:
            ProblemError: ``party_unknown``, also if it is not the tenant itself.
        """
        return await self._api.get(f"/v1/parties/{segment(party_id)}", PartyView)

    def list_names(self, *, party_id: Sequence[str] | None = None) -> AsyncIterator[PartyName]:
        """Yield the names of parties by id, of all that the key may name, or of at most 100 of them."""
        return self._api.rows("/v1/parties/names", PartyName, party_id=party_id)

    def list(
        self, *, role: Role | None = None, status: Statuses = None, **listed: Unpack[Listed]
    ) -> AsyncIterator[PartyView]:
        """Yield parties by id, optionally of one role or status (``registered``, ``cleared`` or ``suspended``)."""
        return self._api.rows("/v1/parties", PartyView, role=role, status=status, **listed)


class ApiKeys(Group):
    """API keys: a tenant issues, suspends and revokes its own, none with more rights than the key it uses."""

    async def issue(
        self,
        *,
        name: str,
        scopes: tuple[str, ...],
        party_id: str | None = None,
        expires_at: datetime | None = None,
        person: str | None = None,
        **options: Any,
    ) -> IssuedKey:
        """Issue an API key; only this answer has its token."""
        body = IssueKeyBody(name=name, scopes=scopes, party_id=party_id, expires_at=expires_at, person=person)
        return await self._api.send("/v1/api-keys", IssuedKey, body, **options)

    async def revoke(self, key_id: str, *, keep_issued: bool = False, **options: Any) -> None:
        """Revoke an API key for good; it and its streams end within a second, in every API process.

        Keys that it issued end with it, except the one that asks, and with `keep_issued` none of them.

        Raises:
            ProblemError: ``key_unknown``, also if it is another's.
        """
        path = f"/v1/api-keys/{segment(key_id)}" + ("?keep_issued=true" if keep_issued else "")
        await self._api.send(path, type(None), method="DELETE", **options)

    async def suspend(self, key_id: str, *, reason: str, **options: Any) -> KeyView:
        """Suspend an API key until it is resumed, as the platform.

        Raises:
            ProblemError: ``platform_only`` · ``key_unknown`` · ``key_revoked`` · ``key_tampered``.
        """
        return await self._api.send(
            f"/v1/api-keys/{segment(key_id)}/suspend", KeyView, ReasonBody(reason=reason), **options
        )

    async def resume(self, key_id: str, *, reason: str, **options: Any) -> KeyView:
        """Resume a suspended API key, as the platform.

        Raises:
            ProblemError: ``platform_only`` · ``key_unknown`` · ``key_revoked`` · ``key_tampered`` · ``key_stronger``.
        """
        return await self._api.send(
            f"/v1/api-keys/{segment(key_id)}/resume", KeyView, ReasonBody(reason=reason), **options
        )

    def list(self) -> AsyncIterator[KeyView]:
        """Yield API keys by id, revoked ones included, without tokens; only `issue_key` returns a token."""
        return self._api.rows("/v1/api-keys", KeyView)
