"""Parties and API keys."""

from collections.abc import AsyncIterator, Sequence

from events.types import Role
from marketplace.api.api_keys import IssuedKey, KeyView
from marketplace.api.bodies.parties import ClearPartyBody, IssueKeyBody, RegisterPartyBody
from marketplace.api.bodies.reasons import ReasonBody
from marketplace.api.commands import ReceiptBody
from marketplace.client.feature import Feature
from marketplace.projections.parties import PartyView

PATH = "/v1/parties"
KEYS_PATH = "/v1/api-keys"


class Parties(Feature):
    """Organisations that trade."""

    async def register(
        self, *, name: str, roles: Sequence[Role], jurisdiction: str, sector: str | None = None
    ) -> ReceiptBody:
        """Register an organisation and open its account."""
        body = RegisterPartyBody(name=name, roles=tuple(roles), jurisdiction=jurisdiction, sector=sector)
        return await self._transport.command("POST", PATH, body)

    async def clear(self, party_id: str, *, checks: Sequence[str]) -> ReceiptBody:
        """Let a party trade."""
        return await self._transport.command("POST", f"{PATH}/{party_id}/clear", ClearPartyBody(checks=tuple(checks)))

    async def suspend(self, party_id: str, *, reason: str) -> ReceiptBody:
        """Stop a party from beginning anything new."""
        return await self._transport.command("POST", f"{PATH}/{party_id}/suspend", ReasonBody(reason=reason))

    async def get(self, party_id: str) -> PartyView:
        """Return a party."""
        return await self._transport.read(f"{PATH}/{party_id}", PartyView)

    def list(self, *, role: Role | None = None, status: str | None = None) -> AsyncIterator[PartyView]:
        """Yield parties by id."""
        return self._transport.read_all(PATH, PartyView, {"role": role, "status": status})


class ApiKeys(Feature):
    """Keys to the API."""

    async def issue(self, *, name: str, scopes: Sequence[str], party_id: str | None = None) -> IssuedKey:
        """Issue a key; its token is in the answer and nowhere else."""
        body = IssueKeyBody(name=name, scopes=tuple(scopes), party_id=party_id)
        return await self._transport.command("POST", KEYS_PATH, body, answer=IssuedKey)

    async def revoke(self, key_id: str) -> None:
        """Take a key back for good."""
        await self._transport.command("DELETE", f"{KEYS_PATH}/{key_id}", answer=type(None))

    def list(self) -> AsyncIterator[KeyView]:
        """Yield keys by id, without their secrets."""
        return self._transport.read_all(KEYS_PATH, KeyView)
