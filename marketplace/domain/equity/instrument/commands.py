"""Commands to instruments; `marketplace.domain.equity.instrument.instrument` decides them."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Literal

import msgspec

from events.draw import DrawTerms
from events.instrument import InstrumentEvent
from events.service import ServiceResult
from events.types import Instant, PrincipalTerms, SafeTerms


class IssueInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Sign an agreement."""

    instrument_id: str
    issuer_id: str
    holder_id: str
    terms: PrincipalTerms
    commitment_usd: Decimal
    funding: Literal["drawdown", "paid_at_once"]
    grant_id: str | None = None
    mandate_id: str | None = None
    draw: DrawTerms | None = None


class AccruePrincipal(msgspec.Struct, frozen=True, kw_only=True):
    """Let a tranche be born of an accepted statement, or of a payment where there is no statement."""

    instrument_id: str
    tranche_id: str
    principal_usd: Decimal
    statement_id: str | None
    on_day: date
    service: ServiceResult | None = None


class ReversePrincipal(msgspec.Struct, frozen=True, kw_only=True):
    """Take back a tranche or part of it, whatever became of it; the reason names the reversal.

    Attributes:
        instrument_id: The instrument.
        tranche_id: The tranche.
        principal_usd: How much of it.
        reason: Why.
        settlement: What happens where it became shares; needed there.
        shares_held: Shares of the conversion's class that the holder still has, which are the most to be cancelled.
        split: By how much splits since the conversion multiplied its shares.
    """

    instrument_id: str
    tranche_id: str
    principal_usd: Decimal
    reason: str
    settlement: Literal["cancel_shares", "debt"] | None = None
    shares_held: int = 0
    split: Fraction = Fraction(1)


class PayDebt(msgspec.Struct, frozen=True, kw_only=True):
    """Pay what is owed for principal that was clawed back, or part of it; the cause names the payment."""

    instrument_id: str
    cause: str
    amount_usd: Decimal


class SuspendInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Stop accrual for a while."""

    instrument_id: str
    reason: str


class ResumeInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Let principal accrue again."""

    instrument_id: str


class LapseInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """End the draw; what accrued stays."""

    instrument_id: str
    reason: str


class ReduceCommitment(msgspec.Struct, frozen=True, kw_only=True):
    """Take off the commitment what will never be delivered under it; what accrued stays."""

    instrument_id: str
    amount_usd: Decimal
    cause: str


class AmendInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Agree on new terms."""

    instrument_id: str
    terms: PrincipalTerms
    applies_to_earlier: bool


class ConvertInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Turn the oldest outstanding run of tranches into shares.

    Attributes:
        instrument_id: The instrument.
        cause: The financing or liquidity event.
        principal_usd: The principal that was priced; it has to be the whole run.
        amount_exact: Dollars that convert, exact.
        branch: Which price it took.
        price: That price per share, exact.
        class_id: Class of the shares.
        shares_exact: Shares before rounding, exact.
        shares: Shares.
        position: Which conversion of this cause it is, from 0; above 0 only where tranches differ in terms.
        interest_until: Day to which a note earned interest; None of a SAFE.
    """

    instrument_id: str
    cause: str
    principal_usd: Decimal
    amount_exact: Fraction
    branch: Literal["cap", "discount", "round_price", "agreed_price"]
    price: Fraction
    class_id: str
    shares_exact: Fraction
    shares: int
    position: int = 0
    interest_until: date | None = None


class CancelInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """End an agreement under which nothing accrued, or all was reversed."""

    instrument_id: str
    reason: str
    at: Instant


class RepayInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Pay the outstanding principal out in cash, which ends the draw as well.

    Attributes:
        instrument_id: The instrument.
        cause: The liquidity event.
        amount_usd: What is paid; less than the principal, even nothing, where the proceeds did not suffice.
    """

    instrument_id: str
    cause: str
    amount_usd: Decimal


class ImportInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Take an agreement over with its issuer; it belongs in the batch that imports the issuer.

    Attributes:
        instrument_id: The new instrument.
        acts: What happened to it, oldest first; each has to obey the rules for its command.
    """

    instrument_id: str
    acts: tuple[InstrumentEvent, ...]


class RepayNote(msgspec.Struct, frozen=True, kw_only=True):
    """Pay a note back with its interest until a day, or until it fell due, to the cent above; which ends the draw."""

    instrument_id: str
    cause: str
    on_day: date


class MatureNote(msgspec.Struct, frozen=True, kw_only=True):
    """Say that a note fell due unpaid, once for each day of maturity."""

    instrument_id: str
    at: Instant


class NoticeMfn(msgspec.Struct, frozen=True, kw_only=True):
    """Tell the holder of a most-favoured SAFE of a later one."""

    instrument_id: str
    later_instrument_id: str
    terms: SafeTerms
    elect_until: Instant
    at: Instant


class ElectMfn(msgspec.Struct, frozen=True, kw_only=True):
    """Take the terms of a later SAFE that was noticed, or, where none is named, keep one's own."""

    instrument_id: str
    later_instrument_id: str | None
    at: Instant


InstrumentCommand = (
    IssueInstrument
    | ImportInstrument
    | AccruePrincipal
    | ReversePrincipal
    | PayDebt
    | SuspendInstrument
    | ResumeInstrument
    | LapseInstrument
    | ReduceCommitment
    | AmendInstrument
    | ConvertInstrument
    | CancelInstrument
    | RepayInstrument
    | RepayNote
    | MatureNote
    | NoticeMfn
    | ElectMfn
)
