"""Views of accounts, holds, statements and service lines."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from events.account import AccountAct
from events.bond import ClaimItem
from events.statement import Adjustment, Charges, Reference, ServiceCredit
from marketplace.domain.billing.settlement import subtract_credit
from marketplace.projections.views.metering import ReadingView


class HoldView(msgspec.Struct, frozen=True, kw_only=True):
    """A hold as it is now.

    Attributes:
        account_id: The account that it is on.
        hold_id: The hold.
        party_id: The party whose money it is.
        purpose: Id of what it is for: an order, grant, mandate, quote, approval, bond, round or service line; or of the
            account that may be paid.
        left_usd: What may still be paid from it.
        captured_usd: What was paid from it.
        credit_usd: What it takes of a provider's credit, in place of money.
        lender_id: That provider; None if it never took credit.
        expires_at: When the rest is available again; None if it ends with its purpose.
        expired: Whether it has expired.
        placed_at: When it was placed.
        last_sequence: Its last event.
    """

    account_id: str
    hold_id: str
    party_id: str
    purpose: str
    left_usd: Decimal
    captured_usd: Decimal
    credit_usd: Decimal
    lender_id: str | None
    expires_at: datetime | None
    expired: bool
    placed_at: datetime
    last_sequence: int


class BondView(msgspec.Struct, frozen=True, kw_only=True):
    """Money that a seller set apart for undelivered hours, of a lot or of all its grants.

    Attributes:
        bond_id: The bond of the provider.
        party_id: The provider.
        lot_id: The lot whose grants this part covers; None: all of the provider's.
        hold_id: The hold on its account.
        posted_usd: What was set apart in all.
        paid_usd: What was paid to startups.
        released_usd: What the provider took back.
        free_usd: What is left.
        claims_open_usd: What open claims on it may still cost, rounded up to thousands.
        stands_until: It is free 30 days after that at the earliest, of a withdrawn lot after its last grant.
        last_sequence: Its last event.
    """

    bond_id: str
    party_id: str
    lot_id: str | None
    hold_id: str
    posted_usd: Decimal
    paid_usd: Decimal
    released_usd: Decimal
    free_usd: Decimal
    claims_open_usd: Decimal
    stands_until: datetime
    last_sequence: int


class ClaimView(msgspec.Struct, frozen=True, kw_only=True):
    """A claim for undelivered hours.

    Attributes:
        bond_id: The bond.
        claim_id: The claim.
        party_id: The provider.
        startup_id: The startup that pays.
        claimed_by: ``startup`` or ``holder``.
        grant_id: What was not delivered.
        statement_id: The statement of the period; None for the early end of the grant.
        items: Its parts.
        credited_usd: What was credited or paid for the same hours already.
        amount_usd: What is claimed.
        holders_usd: Of that, the parts of those who take the equity.
        status: ``open``, ``contested`` or ``settled``.
        due_usd: What is conceded or decided.
        paid_usd: What was paid, nothing in the first 72 hours; the rest once there is more.
        reason: The reason of the answer; None before.
        claimed_at: When it was made.
        answer_until: Silence of the provider until then concedes it; once contested, that of the platform settles it
            in the middle.
        last_sequence: Its last event.
    """

    bond_id: str
    claim_id: str
    party_id: str
    startup_id: str
    claimed_by: str
    grant_id: str
    statement_id: str | None
    items: tuple[ClaimItem, ...]
    credited_usd: Decimal
    amount_usd: Decimal
    holders_usd: Decimal
    status: str
    due_usd: Decimal
    paid_usd: Decimal
    reason: str | None
    claimed_at: datetime
    answer_until: datetime
    last_sequence: int


class ApprovalView(msgspec.Struct, frozen=True, kw_only=True):
    """An act that one person requested and that a second person must approve.

    Attributes:
        account_id: The account.
        approval_id: The request.
        party_id: Whose account it is.
        act: What is done once it is approved.
        status: ``open``, ``approved``, ``refused``, ``withdrawn`` or ``lapsed``.
        person: Who asked.
        decided_by: Who approved, refused or withdrew it; None while it is open, after a lapse, and for the platform.
        reason: Why it ended without its act.
        hold_id: The hold on its money while it waits.
        requested_at: When it was asked for.
        approve_until: It lapses if nobody decides by then.
        last_sequence: Its last event.
    """

    account_id: str
    approval_id: str
    party_id: str
    act: AccountAct
    status: str
    person: str
    decided_by: str | None
    reason: str | None
    hold_id: str | None
    requested_at: datetime
    approve_until: datetime
    last_sequence: int


class EquityView(msgspec.Struct, frozen=True, kw_only=True):
    """Who takes the equity part of a grant, and for what.

    Attributes:
        mandate_id: The mandate.
        holder_id: Who holds the equity.
        holder_account_id: Which account pays the provider; None where the provider is the holder.
        instrument_id: The instrument whose principal grows.
        principal_share: Principal per dollar of the price, with at most 12 places.
        equity_credit: Dollars paid per dollar of principal.
        principal_commitment_usd: Principal when everything is delivered.
        budget_commitment_usd: Dollars that the holder pays when everything is delivered.
        holder_accepts: Whether statements settle early only if the holder accepts too, since it pays a part.
    """

    mandate_id: str
    holder_id: str
    holder_account_id: str | None
    instrument_id: str
    principal_share: Decimal
    equity_credit: Decimal
    principal_commitment_usd: Decimal
    budget_commitment_usd: Decimal
    holder_accepts: bool


class ServiceResultView(msgspec.Struct, frozen=True, kw_only=True):
    """The service result of a statement's period.

    Attributes:
        gpu_seconds_promised: Granted GPUs times seconds of the period.
        gpu_seconds_unavailable: Those during which nodes did not work or, under ``metered``, that were not delivered.
        gpu_seconds_delivered: What the provider's meter counted of nodes that worked.
        availability: Share of the promised GPU-seconds that was available, with at most 12 places.
        availability_min: What was promised.
        met: Whether the promise was kept.
        credit: Share of the period's charges that the schedule pays back; 0 if the promise was kept, or under another
            remedy.
        consequence: The remedy; None if the promise was kept.
    """

    gpu_seconds_promised: int
    gpu_seconds_unavailable: int
    gpu_seconds_delivered: int
    availability: Decimal
    availability_min: Decimal
    met: bool
    credit: Decimal
    consequence: str | None = None


Act = Literal["disputed", "answered", "conceded", "referred", "resolved"]


class DisputeRemark(msgspec.Struct, frozen=True, kw_only=True):
    """What was said in a dispute.

    Attributes:
        by: ``startup``, ``holder``, ``provider``, ``reseller`` or ``meters``; of ``resolved``, what ended the dispute.
        act: What was done.
        reason: The words.
        at: When.
        evidence: What it refers to.
    """

    by: str
    act: Act
    reason: str
    at: datetime
    evidence: tuple[Reference, ...] = ()


class StatementView(msgspec.Struct, frozen=True, kw_only=True):
    """A statement of a grant's period; that of a service line names it, and is in hours.

    Attributes:
        charges: The present charges; of a credit, what is paid back.
        status: ``issued``, ``disputed``, ``resolved``, ``accepted``, or ``credited``: it pays back.
        accepted_by: How it was settled: ``acceptance``, ``silence`` or ``resolution``; None: not yet.
        gpu_seconds_counted: The payers' lowest count of what was delivered; None: no dispute, or a service line.
        hours_counted: The same of a service line.
        reason: The last reason: of a claim, answer, concession, referral or resolution.
        disputed_by: Whose count that is, ``startup``, ``holder`` or ``meters``; None: nobody disputed.
        agreed_by: The payer that accepted before the other, ``startup`` or ``holder``; None: neither.
        startup_gpu_seconds: What the startup's meter counted by the issue; None: it reported nothing.
        service_credit: What was paid back of the charges for a broken promise; of a credit, before. None: nothing.
        settled: The undisputed part, which is paid first; None: none.
        awaits: ``provider``, ``payers``, ``platform``, or a payer that counts less than the other offers.
        answer_until: Until when that one may act; then silence settles it (`docs/how-to-meter.md`).
        offered_by: Whose offer stands, ``provider``, ``startup`` or ``holder``; None: none.
        gpu_seconds_offered: That offer; None of a service line.
        evidence: What the last claim, answer or referral refers to.
        resolved_by: What ended its dispute: ``concession``, ``offer``, ``silence``, ``platform``, ``undecided`` (the
            platform was late) or ``sale`` (of the company).
        remarks: What was said in its dispute, in order; of each payer's claims, the latest.
    """

    statement_id: str
    grant_id: str
    startup_id: str
    provider_id: str
    holder_id: str | None
    reseller_id: str | None
    period_start: datetime
    period_end: datetime
    charges_issued: Charges
    charges: Charges
    status: str
    accepted_by: str | None
    service_line_id: str | None
    gpu_seconds_counted: int | None
    hours_counted: Decimal | None
    reason: str | None
    disputed_by: str | None
    agreed_by: str | None
    startup_gpu_seconds: int | None
    adjustment: Adjustment | None
    service: ServiceResultView | None
    service_credit: ServiceCredit | None
    settled: Charges | None
    awaits: str | None
    answer_until: datetime | None
    offered_by: str | None
    gpu_seconds_offered: int | None
    hours_offered: Decimal | None
    evidence: tuple[Reference, ...] | None
    resolved_by: str | None
    remarks: tuple[DisputeRemark, ...]
    accept_until: datetime
    issued_at: datetime
    accepted_at: datetime | None
    last_sequence: int

    @property
    def gpu_seconds_net(self) -> int:
        """The GPU-seconds that it charges; those that a credit takes off are negative."""
        return -self.charges.gpu_seconds if self.status == "credited" else self.charges.gpu_seconds

    @property
    def charges_net(self) -> Charges:
        """The charges less the service credit; for the status ``credited``, what is paid back."""
        return subtract_credit(self.charges, self.service_credit)


class Earned(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider earned by statements, after fees and service credits; credit statements count negative.

    Attributes:
        month: In which their periods ended, such as ``2026-11``, in UTC; None: in any.
        grant_id: Their grant; None: of any.
        gpu_seconds: What was charged.
        earned_usd: What is paid, or will be for good.
        credited_usd: What was paid back for promises that were not kept.
        waiting_usd: What is not accepted yet.
    """

    month: str | None
    grant_id: str | None
    gpu_seconds: int
    earned_usd: Decimal
    credited_usd: Decimal
    waiting_usd: Decimal


class EarningsView(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider earned in a span.

    Attributes:
        total: In all.
        months: By month, the latest first.
        grants: By grant, the latest first, at most 1,000.
    """

    total: Earned
    months: tuple[Earned, ...]
    grants: tuple[Earned, ...]


class ServiceLineView(msgspec.Struct, frozen=True, kw_only=True):
    """A service line.

    Attributes:
        hours_worked: What counts now: readings as last corrected, without voided ones.
        status: ``proposed``, ``declined``, ``agreed`` or ``closed``.
        approved_at: When the holder approved its equity part; None: not yet, or it has none.
    """

    service_line_id: str
    grant_id: str
    startup_id: str
    provider_id: str
    holder_id: str | None
    name: str
    price_usd_per_hour: Decimal
    hours: Decimal
    workers: int
    hours_worked: Decimal
    status: str
    declined_by: str | None
    reason: str | None
    proposed_at: datetime
    approved_at: datetime | None
    agreed_at: datetime | None
    cash_commitment_usd: Decimal | None
    equity: EquityView | None
    last_sequence: int


class HoursReadingView(msgspec.Struct, frozen=True, kw_only=True):
    """A reading of hours in its present form. A voided one keeps its content and counts nothing."""

    service_line_id: str
    source: str
    reading_id: str
    reported_sequence: int
    start: datetime
    end: datetime
    hours: Decimal
    voided: bool
    reason: str | None
    last_sequence: int


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """One party's account with the market.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        unit: Its unit, ``USD``.
        opened_at: When it was opened.
        closed_at: When it was closed to anything new; None: it is open.
        limit_usd: What one person alone may let go in 24 hours; None: no limit.
        order_limit_usd: What an order of one person alone may cost; None: no limit.
        week_limit_usd: What all purchases of single persons in 7 days may cost; None: no limit.
        available_usd: Its money that is not held.
        held_usd: Its money that is held.
        reserved_usd: The part of the available money that it keeps now for corrections and for statements on credit:
            it is neither withdrawn nor held for others.
        last_sequence: The event that changed it last; its balances have their own.
    """

    account_id: str
    party_id: str
    unit: str
    opened_at: datetime
    closed_at: datetime | None
    limit_usd: Decimal | None
    order_limit_usd: Decimal | None
    week_limit_usd: Decimal | None
    available_usd: Decimal
    held_usd: Decimal
    reserved_usd: Decimal
    last_sequence: int


class CreditView(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider lets a startup take on credit, and what its orders and grants take of it now.

    Attributes:
        account_id: The startup's account.
        provider_id: Who gives the credit and bears its risk.
        startup_id: Who may take it.
        limit_usd: The most that its orders and grants may take together.
        taken_usd: What they take now; above the limit where that was lowered since. None for the provider, and for the
            platform without ``orders:sealed``: it would tell what open orders offer.
        last_sequence: The event that changed the limit last.
    """

    account_id: str
    provider_id: str
    startup_id: str
    limit_usd: Decimal
    taken_usd: Decimal | None
    last_sequence: int


class BalanceView(msgspec.Struct, frozen=True, kw_only=True):
    """The balance of one ledger account, and the event that moved it last."""

    account: str
    party_id: str | None
    unit: str
    amount: Decimal
    last_sequence: int


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """One line that one event posted; positive into the account.

    Attributes:
        sequence: The event's position in the log.
        line: Which of its lines.
        account: The ledger account.
        party_id: The party; None for the outside world and money in transit.
        unit: The account's unit.
        amount: Positive into the account.
        tag: The event's type.
        cause: Its purpose: a payment's reference, an id, or words; None if the event has none.
        recorded_at: When the event was recorded.
        occurred_at: When its content occurred.
    """

    sequence: int
    line: int
    account: str
    party_id: str | None
    unit: str
    amount: Decimal
    tag: str
    cause: str | None
    recorded_at: datetime
    occurred_at: datetime


class TrialBalanceView(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts of one kind in one unit; the amounts of a unit sum to zero.

    Attributes:
        accounts: How many.
    """

    unit: str
    kind: str
    accounts: int
    amount: Decimal


Basis = Literal["recorded", "occurred"]
"""Whether lines count by when they were recorded, or by when their events occurred."""


class StandView(msgspec.Struct, frozen=True, kw_only=True):
    """The balance of one ledger account."""

    account: str
    amount: Decimal


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """One entry in a statement, with the balance of its ledger account after it."""

    sequence: int
    recorded_at: datetime
    occurred_at: datetime
    event: str
    cause: str | None
    account: str
    unit: str
    amount: Decimal
    balance: Decimal


class AccountStatementView(msgspec.Struct, frozen=True, kw_only=True):
    """A statement of account.

    Attributes:
        account_id: The account.
        party_id: The account's party.
        unit: Unit of every amount in it.
        start: First instant.
        end: Instant after the last.
        basis: Whether lines count by when they were recorded or when they occurred.
        opening: Balances of its ledger accounts before the first line.
        lines: The entries of the span in the order of the basis; with `last`, only the latest.
        closing: Balances at the end; opening plus lines.
    """

    account_id: str
    party_id: str
    unit: str
    start: datetime
    end: datetime
    basis: Basis
    opening: tuple[StandView, ...]
    lines: tuple[LineView, ...]
    closing: tuple[StandView, ...]


class EventBody(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the log with its stored body."""

    sequence: int
    tag: str
    recorded_at: datetime
    actor: str
    body: msgspec.Raw


class CauseView(msgspec.Struct, frozen=True, kw_only=True):
    """The cause of an entry.

    Attributes:
        id: The statement, order, grant or service line.
        events: Its events up to the entry that concern the reader, at most the last 20.
        readings: Readings that begin in a statement's period, at most the first 200.
        hours: For a service line, its readings that end in the statement's period, at most the first 200.
    """

    id: str
    events: tuple[EventBody, ...]
    readings: tuple[ReadingView, ...] = ()
    hours: tuple[HoursReadingView, ...] = ()


class ExplainedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry, the balance of its ledger account after it, its event, and the cause.

    Attributes:
        cause: The statement, order, grant or service line that the event names; None: none of these.
    """

    entry: EntryView
    balance: Decimal
    event: EventBody
    cause: CauseView | None


class ExplanationView(msgspec.Struct, frozen=True, kw_only=True):
    """A balance and its entries.

    Attributes:
        account_id: The account, grant, instrument or pool.
        balances: Its ledger accounts at the requested point.
        entries: Oldest first. The entries of all pages sum to the balances.
        next_cursor: Of the next page of entries; None on the last page.
    """

    account_id: str
    balances: tuple[BalanceView, ...]
    entries: tuple[ExplainedEntry, ...]
    next_cursor: str | None = None
