"""Methods of the client for parties and their API keys."""

from collections.abc import AsyncIterator
from typing import Any

from events.types import Role
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.parties import ClearPartyBody, IssuedKey, IssueKeyBody, KeyView, RegisterPartyBody
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.client.transport import Transport
from marketplace.projections.views.access import PartyView


class Parties(Transport):
    """Who takes part, and the keys that speak for them; a tenant sees itself and its own keys."""

    async def register_party(self, body: RegisterPartyBody, **options: Any) -> ReceiptBody:
        """Register an organisation and open its account."""
        return await self.command("/v1/parties", body, **options)

    async def clear_party(self, party_id: str, checks: tuple[str, ...], **options: Any) -> ReceiptBody:
        """Let a party trade."""
        return await self.command(f"/v1/parties/{party_id}/clear", ClearPartyBody(checks=checks), **options)

    async def suspend_party(self, party_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Stop a party from beginning anything new; what it has begun goes on. As the platform.

        Raises:
            ProblemError: ``platform_only`` · ``party_unknown``.
        """
        return await self.command(f"/v1/parties/{party_id}/suspend", ReasonBody(reason=reason), **options)

    async def get_party(self, party_id: str) -> PartyView:
        """Return a party, with the checks that it passed or why it is suspended.

        Raises:
            ProblemError: ``party_unknown``, also where it is not the tenant itself.
        """
        return await self.get(f"/v1/parties/{party_id}", PartyView)

    def list_parties(self, *, role: Role | None = None, status: str | None = None) -> AsyncIterator[PartyView]:
        """Yield parties by id; of a role, or ``registered``, ``cleared`` or ``suspended``."""
        return self.rows("/v1/parties", PartyView, role=role, status=status)

    async def issue_key(self, body: IssueKeyBody, **options: Any) -> IssuedKey:
        """Issue an API key; its token is told once."""
        return await self.send("/v1/api-keys", IssuedKey, body, **options)

    async def revoke_key(self, key_id: str, **options: Any) -> None:
        """Take an API key back for good; it and its streams end within a second, in every process of the API.

        Raises:
            ProblemError: ``key_unknown``, also where it is another's.
        """
        await self.send(f"/v1/api-keys/{key_id}", type(None), method="DELETE", **options)

    async def suspend_key(self, key_id: str, reason: str, **options: Any) -> KeyView:
        """Let an API key do nothing until it is resumed. As the platform.

        Raises:
            ProblemError: ``platform_only`` · ``key_unknown`` · ``key_revoked`` · ``key_tampered``.
        """
        return await self.send(f"/v1/api-keys/{key_id}/suspend", KeyView, ReasonBody(reason=reason), **options)

    async def resume_key(self, key_id: str, reason: str, **options: Any) -> KeyView:
        """Let a suspended API key work again. As the platform.

        Raises:
            ProblemError: ``platform_only`` · ``key_unknown`` · ``key_revoked`` · ``key_tampered``.
        """
        return await self.send(f"/v1/api-keys/{key_id}/resume", KeyView, ReasonBody(reason=reason), **options)

    def list_keys(self) -> AsyncIterator[KeyView]:
        """Yield API keys by id, revoked ones included; their tokens are told by `issue_key` alone."""
        return self.rows("/v1/api-keys", KeyView)
