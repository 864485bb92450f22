"""Instruments: agreements whose principal accrues from accepted delivery, and what they become."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.draw import DrawTerms
from events.service import ServiceResult
from events.types import Event, Id, Instant, PrincipalTerms, Ratio, Reduction, SafeTerms, Shares, Text, Usd

TermsVersion = Annotated[int, Meta(ge=1, description="Version of the terms, counted from 1")]


class InstrumentIssued(Event, frozen=True, kw_only=True, tag="instrument.issued.v1"):
    """An agreement was signed; nothing has accrued yet.

    Attributes:
        instrument_id: The instrument.
        issuer_id: Whose equity it becomes.
        holder_id: Who holds it.
        terms: Its terms, version 1.
        commitment_usd: The most principal that can ever accrue.
        funding: ``drawdown``: principal accrues by accepted statements; ``paid_at_once``: by one cash payment.
        grant_id: The grant that draws it down; None for a direct investment.
        mandate_id: The mandate under which it was signed; None for an import.
        draw: Window, unit and prices of a drawdown, as they were signed; None for one that is paid at once.
    """

    instrument_id: Id
    issuer_id: Id
    holder_id: Id
    terms: PrincipalTerms
    commitment_usd: Usd
    funding: Literal["drawdown", "paid_at_once"]
    grant_id: Id | None = None
    mandate_id: Id | None = None
    draw: DrawTerms | None = None


class InstrumentPrincipalAccrued(Event, frozen=True, kw_only=True, tag="instrument.principal_accrued.v1"):
    """One tranche accrued: from an accepted statement, from the undisputed part of a disputed one, or from a payment.

    Attributes:
        instrument_id: The instrument.
        tranche_id: The tranche.
        issuer_id: Whose equity it becomes.
        holder_id: Who holds it.
        principal_usd: Principal of the tranche.
        statement_id: The accepted statement; None for a payment.
        terms_version: The version of the terms under which it accrued.
        interest_from: Day of the accrual, from which a note earns interest.
        service: The service result of the statement's period; None if nothing was promised.
    """

    instrument_id: Id
    tranche_id: Id
    issuer_id: Id
    holder_id: Id
    principal_usd: Usd
    statement_id: Id | None
    terms_version: TermsVersion
    interest_from: date
    service: ServiceResult | None = None


class TakenShares(msgspec.Struct, frozen=True, kw_only=True):
    """Shares that clawed-back principal had bought, counted after every split since.

    Attributes:
        cause: The cause of the conversion in which it bought them, such as the financing.
        class_id: Their class.
        amount_exact: Dollars that they were bought with, exact: the principal, and interest of a note.
        price_usd_per_share: The conversion's price, exact.
        shares_exact: How many it bought, exact: the dollars over the price.
        shares_due: Whole shares to return; a fraction waits for the next clawback of the same conversion.
        shares: Those that were cancelled; the holder owes the price of the others.
    """

    cause: Id
    class_id: str
    amount_exact: Ratio
    price_usd_per_share: Ratio
    shares_exact: Ratio
    shares_due: Shares
    shares: Shares


class InstrumentPrincipalReversed(Event, frozen=True, kw_only=True, tag="instrument.principal_reversed.v1"):
    """A tranche was reversed, in part or in full, by a negative tranche. It may have become shares or money before.

    Attributes:
        instrument_id: The instrument.
        tranche_id: The tranche.
        issuer_id: Whose equity it was to become.
        holder_id: Who holds it.
        principal_usd: How much was reversed.
        reason: Why.
        became: What the tranche had become: outstanding principal, shares, or money.
        reduction: For shares: they are cancelled, or their price is owed; None if it did not become shares.
        taken: The shares that it had bought, if it became shares.
        debt_exact: Dollars that the holder owes the issuer instead, exact.
        debt_usd: The same, rounded down to the cent.
    """

    instrument_id: Id
    tranche_id: Id
    issuer_id: Id
    holder_id: Id
    principal_usd: Usd
    reason: Text
    became: Literal["outstanding", "shares", "money"] = "outstanding"
    reduction: Reduction | None = None
    taken: TakenShares | None = None
    debt_exact: Ratio = "0/1"
    debt_usd: Usd = Decimal(0)


class InstrumentDebtPaid(Event, frozen=True, kw_only=True, tag="instrument.debt_paid.v1"):
    """The holder paid its debt to the issuer for clawed-back principal, in part or in full.

    Attributes:
        instrument_id: The instrument.
        issuer_id: Who was paid.
        holder_id: Who paid.
        cause: The payment.
        amount_usd: How much.
    """

    instrument_id: Id
    issuer_id: Id
    holder_id: Id
    cause: Id
    amount_usd: Usd


class InstrumentSuspended(Event, frozen=True, kw_only=True, tag="instrument.suspended.v1"):
    """No principal accrues until it is resumed.

    Attributes:
        instrument_id: The instrument.
        reason: Why.
    """

    instrument_id: Id
    reason: Text


class InstrumentResumed(Event, frozen=True, kw_only=True, tag="instrument.resumed.v1"):
    """Principal accrues again.

    Attributes:
        instrument_id: The instrument.
    """

    instrument_id: Id


class InstrumentLapsed(Event, frozen=True, kw_only=True, tag="instrument.lapsed.v1"):
    """The draw ended; undelivered capacity accrues no principal.

    Attributes:
        instrument_id: The instrument.
        issuer_id: Whose equity it would have become.
        holder_id: Who holds it.
        undrawn_usd: The commitment that lapsed.
        reason: Why.
    """

    instrument_id: Id
    issuer_id: Id
    holder_id: Id
    undrawn_usd: Usd
    reason: Text


class InstrumentCommitmentReduced(Event, frozen=True, kw_only=True, tag="instrument.commitment_reduced.v1"):
    """The commitment was reduced, for example because capacity was resold.

    Attributes:
        instrument_id: The instrument.
        issuer_id: Whose equity it would have become.
        holder_id: Who holds it.
        amount_usd: The part.
        cause: The cause, for example the grant that the resold capacity became.
    """

    instrument_id: Id
    issuer_id: Id
    holder_id: Id
    amount_usd: Usd
    cause: Text


class InstrumentAmended(Event, frozen=True, kw_only=True, tag="instrument.amended.v1"):
    """The terms have a new version. Earlier tranches keep theirs unless it applies to them too.

    Attributes:
        instrument_id: The instrument.
        terms: The terms from now on.
        terms_version: Their version.
        applies_to_earlier: Whether the new terms also apply to earlier tranches.
    """

    instrument_id: Id
    terms: PrincipalTerms
    terms_version: TermsVersion
    applies_to_earlier: bool


class InstrumentTransferred(Event, frozen=True, kw_only=True, tag="instrument.transferred.v1"):
    """The whole instrument passed from a holder without a key to the party that it is.

    Attributes:
        instrument_id: The instrument.
        issuer_id: Whose equity it becomes.
        holder_id: Who held it.
        holder_id_after: Who holds it now.
        principal_usd: Its outstanding principal.
    """

    instrument_id: Id
    issuer_id: Id
    holder_id: Id
    holder_id_after: Id
    principal_usd: Usd


class InstrumentMfnNoticed(Event, frozen=True, kw_only=True, tag="instrument.mfn_noticed.v1"):
    """The holder of a most-favoured SAFE was notified of a later one, whose terms it may adopt.

    Attributes:
        instrument_id: The most-favoured SAFE.
        later_instrument_id: The later SAFE or note.
        terms: Its terms.
        elect_until: Until when they may be elected.
        principal_usd: The principal of the most-favoured SAFE then, with what may still accrue.
    """

    instrument_id: Id
    later_instrument_id: Id
    terms: SafeTerms
    elect_until: Instant
    principal_usd: Usd = Decimal(0)


class InstrumentMfnElected(Event, frozen=True, kw_only=True, tag="instrument.mfn_elected.v1"):
    """The holder of a most-favoured SAFE decided, once.

    Attributes:
        instrument_id: The most-favoured SAFE.
        later_instrument_id: The later SAFE whose terms it adopts in full, or the note whose cap and discount;
            None: it keeps its own.
        terms: The terms on which it converts from now on.
    """

    instrument_id: Id
    later_instrument_id: Id | None
    terms: SafeTerms


class InstrumentConverted(Event, frozen=True, kw_only=True, tag="instrument.converted.v1"):
    """Principal became shares: in a financing, at a note's maturity, or at the price of priced stock or a warrant.

    Attributes:
        instrument_id: The instrument.
        issuer_id: Whose shares.
        holder_id: Who holds them.
        cause: The financing, or the security that was issued for it.
        principal_usd: What converted.
        amount_exact: Dollars that converted, exact: the principal, and interest of a note.
        branch: Which pricing rule applied, for example cap or discount.
        price_usd_per_share: Conversion price, exact.
        class_id: Class of the shares.
        shares_exact: Shares before rounding, exact.
        shares: Shares.
        interest_until: Day to which a note earned interest; None of a SAFE.
    """

    instrument_id: Id
    issuer_id: Id
    holder_id: Id
    cause: Id
    principal_usd: Usd
    amount_exact: Ratio
    branch: Literal["cap", "discount", "round_price", "agreed_price"]
    price_usd_per_share: Ratio
    class_id: str
    shares_exact: Ratio
    shares: Shares
    interest_until: date | None = None


class InstrumentCancelled(Event, frozen=True, kw_only=True, tag="instrument.cancelled.v1"):
    """The agreement ended without principal.

    Attributes:
        instrument_id: The instrument.
        reason: Why.
        at: When.
    """

    instrument_id: Id
    reason: Text
    at: Instant


class InstrumentMatured(Event, frozen=True, kw_only=True, tag="instrument.matured.v1"):
    """A note, or some of its tranches, matured unpaid. It earns no more interest until it is extended.

    If its terms say so, it converts into stock in the same atomic batch.

    Attributes:
        instrument_id: The instrument.
        issuer_id: Who owes the amount.
        holder_id: To whom it is owed.
        matures_on: Its last day of interest.
        principal_usd: Principal that fell due.
        amount_exact: Principal and interest that are owed, exact.
        amount_usd: The same, rounded up to the cent.
    """

    instrument_id: Id
    issuer_id: Id
    holder_id: Id
    matures_on: date
    principal_usd: Usd
    amount_exact: Ratio
    amount_usd: Usd


class InstrumentRepaid(Event, frozen=True, kw_only=True, tag="instrument.repaid.v1"):
    """The principal was repaid in cash: in a sale of the issuer, or as a note was paid back.

    Attributes:
        instrument_id: The instrument.
        issuer_id: Who paid.
        holder_id: Who was paid.
        cause: The liquidity event, or the payment of a note.
        principal_usd: The principal that was repaid.
        amount_usd: What was paid, interest included.
        early: Whether a note was paid before its maturity, though it converts then, or beside an open round or a sale
            that counts it. Its holder has to agree to that.
    """

    instrument_id: Id
    issuer_id: Id
    holder_id: Id
    cause: Id
    principal_usd: Usd
    amount_usd: Usd
    early: bool = False


InstrumentEvent = (
    InstrumentIssued
    | InstrumentPrincipalAccrued
    | InstrumentPrincipalReversed
    | InstrumentDebtPaid
    | InstrumentSuspended
    | InstrumentResumed
    | InstrumentLapsed
    | InstrumentCommitmentReduced
    | InstrumentAmended
    | InstrumentTransferred
    | InstrumentMfnNoticed
    | InstrumentMfnElected
    | InstrumentConverted
    | InstrumentCancelled
    | InstrumentMatured
    | InstrumentRepaid
)
