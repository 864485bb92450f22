"""Commands to instruments; `marketplace.domain.equity.instrument.instrument` decides them."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Literal

import msgspec

from events.draw import DrawTerms
from events.instrument import InstrumentEvent
from events.service import ServiceResult
from events.types import Instant, PrincipalTerms, Reduction, SafeTerms


class IssueInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Sign an agreement.

    Attributes:
        instrument_id: The instrument.
        issuer_id: Whose equity the principal becomes.
        holder_id: Who gets it.
        terms: How.
        commitment_usd: The most principal that may accrue.
        funding: ``drawdown``: by accepted statements of a grant; ``paid_at_once``: by one payment.
        grant_id: The grant of a drawdown; None for a payment.
        mandate_id: The mandate under which the holder signs; None without one.
        draw: Window, unit and prices of a drawdown; None for a payment.
    """

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
    """Accrue a tranche from an accepted statement, or from a payment if there is no statement.

    `on_day` is the day of that, from which a note earns interest. `part_ids` are the tranches of the statement's
    undisputed part, which may have accrued before.
    """

    instrument_id: str
    tranche_id: str
    principal_usd: Decimal
    statement_id: str | None
    on_day: date
    service: ServiceResult | None = None
    part_ids: tuple[str, ...] = ()


class ReversePrincipal(msgspec.Struct, frozen=True, kw_only=True):
    """Reverse a tranche, in part or in full, even if it became shares or money.

    Attributes:
        instrument_id: The instrument.
        tranche_id: The tranche.
        principal_usd: The principal to reverse.
        reason: Why. It identifies the reversal of a tranche.
        reduction: ``cancel_shares`` or ``debt``; needed if the tranche became shares.
        shares_held: Shares of the conversion's class that the holder still has, the most that can be cancelled.
        split: The factor by which splits since the conversion multiplied its shares.
        on_day: The day of the correction, which must be in time if the tranche became shares or money; None: no check.
        issuer_ended: Whether the issuer was sold and its proceeds are paid.
    """

    instrument_id: str
    tranche_id: str
    principal_usd: Decimal
    reason: str
    reduction: Reduction | None = None
    shares_held: int = 0
    split: Fraction = Fraction(1)
    on_day: date | None = None
    issuer_ended: bool = False


class PayDebt(msgspec.Struct, frozen=True, kw_only=True):
    """Pay the issuer, as the holder, what is owed for principal that was clawed back, in part or in full.

    The cause identifies the payment.
    """

    instrument_id: str
    cause: str
    amount_usd: Decimal


class SuspendInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Stop accrual until it is resumed."""

    instrument_id: str
    reason: str


class ResumeInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Let principal accrue again."""

    instrument_id: str


class LapseInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """End the draw. Accrued principal stays."""

    instrument_id: str
    reason: str


class ReduceCommitment(msgspec.Struct, frozen=True, kw_only=True):
    """Reduce the commitment by what will never be delivered. Accrued principal stays."""

    instrument_id: str
    amount_usd: Decimal
    cause: str


class AmendInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Replace the terms for later tranches and, if `applies_to_earlier`, for outstanding ones. The kind stays."""

    instrument_id: str
    terms: PrincipalTerms
    applies_to_earlier: bool


class ConvertInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Convert the oldest outstanding run of tranches into shares.

    Attributes:
        instrument_id: The instrument.
        cause: The financing or liquidity event.
        principal_usd: The principal that was priced. It must be the whole run.
        amount_exact: Dollars that convert: the principal, with a note's interest.
        branch: The pricing rule that applied, for example cap or discount.
        price: The resulting price per share, in USD.
        class_id: Class of the shares.
        shares_exact: Shares before rounding, exact.
        shares: Shares.
        position: The number of this conversion for this cause, from 0; above 0 only if tranches differ in terms.
        interest_until: Day to which a note earned interest; None for a SAFE.
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
    """Repay the outstanding principal in cash, which also ends the draw.

    Attributes:
        instrument_id: The instrument.
        cause: The liquidity event.
        amount_usd: The amount paid, below the principal or 0 if the proceeds did not suffice.
        early: Whether a note was repaid before its maturity; only an import states it.
    """

    instrument_id: str
    cause: str
    amount_usd: Decimal
    early: bool = False


class ImportInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Import an agreement with its issuer, in the batch that imports the issuer.

    Attributes:
        instrument_id: The new instrument.
        acts: Its history, oldest first. Each event must obey the rules of its command.
    """

    instrument_id: str
    acts: tuple[InstrumentEvent, ...]


class TransferInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Transfer a whole instrument from a holder without a key to the party that it is.

    Attributes:
        instrument_id: The instrument.
        holder_id: Who holds it.
        holder_id_after: Who gets it.
    """

    instrument_id: str
    holder_id: str
    holder_id_after: str


class RepayNote(msgspec.Struct, frozen=True, kw_only=True):
    """Repay a note with interest until `on_day` or its maturity, if earlier, rounded up to a cent. It ends the draw.

    `converts` states whether an open round or a declared sale counts the note.
    """

    instrument_id: str
    cause: str
    on_day: date
    converts: bool = False


class MatureNote(msgspec.Struct, frozen=True, kw_only=True):
    """Record that a note matured unpaid by `at`, which is now; once for each maturity date."""

    instrument_id: str
    at: Instant


class NoticeMfn(msgspec.Struct, frozen=True, kw_only=True):
    """Notify the holder of a most-favoured SAFE of the terms of a later SAFE or note that it may elect.

    `elect_until` is the end of its window; `at` is now.
    """

    instrument_id: str
    later_instrument_id: str
    terms: SafeTerms
    elect_until: Instant
    at: Instant


class ElectMfn(msgspec.Struct, frozen=True, kw_only=True):
    """Adopt, for ever, the terms of a later instrument by a notice; without one, keep the present ones."""

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
    | TransferInstrument
    | ConvertInstrument
    | CancelInstrument
    | RepayInstrument
    | RepayNote
    | MatureNote
    | NoticeMfn
    | ElectMfn
)
