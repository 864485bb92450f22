"""Statements: a period's usage of a grant, priced; only what is accepted is paid and accrues."""

from typing import Literal

import msgspec

from events.types import Event, GpuSeconds, Id, Instant, Text, Usd


class Charges(msgspec.Struct, frozen=True, kw_only=True):
    """What one period's usage costs, to the cent.

    Invariant: ``provider_usd = cash_usd + holder_usd``.

    Attributes:
        gpu_seconds: Usage that is charged.
        provider_usd: What the provider receives.
        cash_usd: What the startup pays.
        holder_usd: What the holder of the equity pays.
        principal_usd: What the startup owes as principal.
    """

    gpu_seconds: GpuSeconds
    provider_usd: Usd
    cash_usd: Usd
    holder_usd: Usd
    principal_usd: Usd


class StatementIssued(Event, frozen=True, kw_only=True, tag="statement.issued.v1"):
    """A period is over and its usage is priced.

    Attributes:
        statement_id: The statement.
        grant_id: The grant.
        startup_id: Who is to accept it.
        provider_id: Who delivered.
        period_start: First instant.
        period_end: Instant after the last.
        charges: What it costs.
        accept_until: After this it counts as accepted.
    """

    statement_id: Id
    grant_id: Id
    startup_id: Id
    provider_id: Id
    period_start: Instant
    period_end: Instant
    charges: Charges
    accept_until: Instant


class StatementAccepted(Event, frozen=True, kw_only=True, tag="statement.accepted.v1"):
    """The startup accepted, or said nothing in time; the charges are final.

    Attributes:
        statement_id: The statement.
        grant_id: The grant.
        charges: What is settled.
        by: Whether by acceptance, by silence, or by the resolution of a dispute.
    """

    statement_id: Id
    grant_id: Id
    charges: Charges
    by: Literal["acceptance", "silence", "resolution"]


class StatementDisputed(Event, frozen=True, kw_only=True, tag="statement.disputed.v1"):
    """The startup says that less was delivered.

    Attributes:
        statement_id: The statement.
        grant_id: The grant.
        gpu_seconds_claimed: What it says was delivered.
        reason: Why.
    """

    statement_id: Id
    grant_id: Id
    gpu_seconds_claimed: GpuSeconds
    reason: Text


class StatementResolved(Event, frozen=True, kw_only=True, tag="statement.resolved.v1"):
    """A dispute ended with charges that both sides keep to.

    Attributes:
        statement_id: The statement.
        grant_id: The grant.
        charges_before: What was issued.
        charges: What is to be settled.
        reason: How it was decided.
    """

    statement_id: Id
    grant_id: Id
    charges_before: Charges
    charges: Charges
    reason: Text


StatementEvent = StatementIssued | StatementAccepted | StatementDisputed | StatementResolved
