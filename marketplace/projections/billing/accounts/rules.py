"""The one table of posting rules: which event posts which entries.

Five kinds of unit, double entry in each, one unit per account:

- ``USD``: ``external/USD`` is the world outside, ``clearing/USD`` is money between the two halves of a payment in one
  atomic batch, ``<account>/available`` and ``<account>/held`` are a party's.
- ``GPU-second:<class>``: a grant moves capacity of ``<pool>/capacity`` into ``<grant>/<startup>/committed``, meters
  move it to ``delivered``, accepted statements to ``accepted``; what is left at the end goes back to the pool.
  Readings that are lowered take back what is not accepted; a credit gives back the rest.
- ``principal-USD:<instrument>``: signing moves the commitment from ``<instrument>/promised`` (the startup's) to
  ``undrawn`` (the holder's), delivery moves it to ``accrued``, conversion to ``converted``, repayment to ``repaid``;
  what is never drawn goes back to ``promised``.
- ``service-hour:<service line>``: an agreement moves its hours from ``<service line>/offered`` (the provider's) to
  ``committed`` (the startup's), time sheets to ``delivered``, accepted statements to ``accepted``; the rest goes back.
- ``debt-USD:<instrument>``: the holder's debt (``<instrument>/owed``, negative) to the startup (``<instrument>/due``)
  for principal that was clawed back after it became shares or money, until it is paid.

Invariants:
    1. The postings of one event sum to zero in each unit.
    2. ``clearing/USD`` is zero after every atomic batch.
    3. Every event type of the aggregates that the projection reads posts here, or is named in `POSTS_NOTHING`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from events import account, grant, instrument, issuer, service_line, statement, usage
from events.types import Event
from marketplace.core.errors import Corrupt
from marketplace.projections.billing.accounts.posting import Posting, Subject, Subjects, sum_by_unit
from marketplace.projections.engine.projection import all_of, tags_of

USD: Final = "USD"
EXTERNAL: Final = "external/USD"
CLEARING: Final = "clearing/USD"
GPU_SECONDS: Final = "GPU-second"
UNITS: Final = (
    USD,
    f"{GPU_SECONDS}:<class>",
    "principal-USD:<instrument>",
    "service-hour:<service line>",
    "debt-USD:<instrument>",
)
"""The units of balances."""
Rule = Callable[[Any, Subjects], tuple[Posting, ...]]


def get_subject_ids(event: Any) -> tuple[str, ...]:
    """Return the ids of the subjects that an event's rule reads."""
    if isinstance(event, instrument.InstrumentIssued):
        return (event.issuer_id,)
    for name in ("service_line_id", "grant_id", "instrument_id"):
        subject_id: str | None = getattr(event, name, None)
        if subject_id is not None:
            return (subject_id,)
    return ()


def _get(subjects: Subjects, subject_id: str) -> Subject:
    subject = subjects.find(subject_id)
    if subject is None:
        raise Corrupt(f"an event posts to {subject_id}, which no earlier event of the log issued")
    return subject


def _move(
    unit: str, amount: Decimal, source: tuple[str, str | None], target: tuple[str, str | None]
) -> tuple[Posting, ...]:
    if not amount:
        return ()
    return Posting(*source, unit, -amount), Posting(*target, unit, amount)


def _deposited(event: account.AccountDeposited, _: Subjects) -> tuple[Posting, ...]:
    return _move(USD, event.amount_usd, (EXTERNAL, None), _available(event))


def _withdrawn(event: account.AccountWithdrawn, _: Subjects) -> tuple[Posting, ...]:
    return _move(USD, event.amount_usd, _available(event), (EXTERNAL, None))


def _hold_placed(event: account.AccountHoldPlaced, _: Subjects) -> tuple[Posting, ...]:
    return _move(USD, event.amount_usd, _available(event), _held(event))


def _hold_released(event: account.AccountHoldReleased | account.AccountHoldExpired, _: Subjects) -> tuple[Posting, ...]:
    return _move(USD, event.amount_usd, _held(event), _available(event))


def _hold_captured(event: account.AccountHoldCaptured, _: Subjects) -> tuple[Posting, ...]:
    return _move(USD, event.amount_usd, _held(event), (CLEARING, None))


def _debited(event: account.AccountDebited, _: Subjects) -> tuple[Posting, ...]:
    return _move(USD, event.amount_usd, _available(event), (CLEARING, None))


def _credited(event: account.AccountCredited, _: Subjects) -> tuple[Posting, ...]:
    return _move(USD, event.amount_usd, (CLEARING, None), _available(event))


def _available(event: Any) -> tuple[str, str]:
    return f"{event.account_id}/available", event.party_id


def _held(event: Any) -> tuple[str, str]:
    return f"{event.account_id}/held", event.party_id


def _grant_issued(event: grant.GrantIssued, subjects: Subjects) -> tuple[Posting, ...]:
    seconds = int((event.end - event.start).total_seconds())
    subject = Subject(
        id=event.grant_id,
        unit=f"{GPU_SECONDS}:{event.gpu_class}",
        party_id=event.startup_id,
        source=f"{event.pool_id}/capacity",
        source_party_id=event.provider_id,
        open=Decimal(event.nodes * event.gpus_per_node * seconds),
    )
    subjects.put(subject)
    return _move(subject.unit, subject.open, _source(subject), _own(subject, "committed"))


def _source(subject: Subject) -> tuple[str, str]:
    return subject.source, subject.source_party_id


def _own(subject: Subject, kind: str) -> tuple[str, str]:
    middle = f"/{subject.party_id}" if subject.passed or subject.unit.startswith(GPU_SECONDS) else ""
    return f"{subject.id}{middle}/{kind}", subject.party_id


def _grant_substituted(event: grant.GrantSubstituted, subjects: Subjects) -> tuple[Posting, ...]:
    before = _get(subjects, event.grant_id)
    after = replace(before, source=f"{event.pool_id}/capacity")
    subjects.put(after)
    return _move(before.unit, before.open, _source(after), _source(before))


def _grant_extended(event: grant.GrantExtended, subjects: Subjects) -> tuple[Posting, ...]:
    before = _get(subjects, event.grant_id)
    amount = Decimal(event.gpu_seconds)
    subjects.put(replace(before, open=before.open + amount))
    return _move(before.unit, amount, _source(before), _own(before, "committed"))


def _grant_rescheduled(event: grant.GrantRescheduled, subjects: Subjects) -> tuple[Posting, ...]:
    """Return to the pool the hours that were taken off. What was metered of dark nodes is still to be delivered."""
    before, amount = _get(subjects, event.grant_id), Decimal(event.gpu_seconds_cut)
    metered = before.delivered
    kept = before.open + metered - amount
    subjects.put(replace(before, open=kept, unaccepted=Decimal(0), begins_at=event.start))
    return (
        *_move(before.unit, metered, _own(before, "delivered"), _own(before, "committed")),
        *_move(before.unit, amount, _own(before, "committed"), _source(before)),
    )


def _grant_transferred(event: grant.GrantTransferred, subjects: Subjects) -> tuple[Posting, ...]:
    before = _get(subjects, event.grant_id)
    after = replace(before, party_id=event.startup_id)
    subjects.put(after)
    return (
        *_move(before.unit, before.open, _own(before, "committed"), _own(after, "committed")),
        *_move(before.unit, before.delivered, _own(before, "delivered"), _own(after, "delivered")),
    )


def _grant_resold(event: grant.GrantResold, subjects: Subjects) -> tuple[Posting, ...]:
    """Return to the pool what the buyer's grant takes from it in the same batch."""
    before, sold = _get(subjects, event.grant_id), Decimal(event.gpu_seconds)
    subjects.put(replace(before, open=before.open - sold))
    return _move(before.unit, sold, _own(before, "committed"), _source(before))


def _grant_ended(event: grant.GrantCompleted | grant.GrantTerminated, subjects: Subjects) -> tuple[Posting, ...]:
    if isinstance(event, grant.GrantCompleted):
        return _settle(subjects, event.grant_id)
    subject = _get(subjects, event.grant_id)
    subjects.put(replace(subject, open=Decimal(0), closed=True))
    return _move(subject.unit, subject.open, _own(subject, "committed"), _source(subject))


def _settle(subjects: Subjects, subject_id: str) -> tuple[Posting, ...]:
    """Return what was not delivered, and what was delivered but not accepted."""
    subject = _get(subjects, subject_id)
    subjects.put(replace(subject, open=Decimal(0), unaccepted=min(subject.unaccepted, Decimal(0)), closed=True))
    return (
        *_move(subject.unit, subject.open, _own(subject, "committed"), _source(subject)),
        *_move(subject.unit, subject.delivered, _own(subject, "delivered"), _source(subject)),
    )


def _deliver(
    subjects: Subjects, subject_id: str, metered: Decimal = Decimal(0), accepted: Decimal = Decimal(0)
) -> tuple[Posting, ...]:
    """Post what was metered, or accepted; negative: taken back.

    A reading that falls below what is accepted takes nothing more back until the credit.
    """
    before = _get(subjects, subject_id)
    after = replace(before, unaccepted=before.unaccepted + metered - accepted)
    amount = after.delivered - before.delivered + accepted
    subjects.put(after if before.closed else replace(after, open=before.open - amount))
    source = _source(before) if before.closed else _own(before, "committed")
    postings = (
        _move(before.unit, amount, source, _own(before, "delivered")),
        _move(before.unit, accepted, _own(before, "delivered"), _own(before, "accepted")),
    )
    first, last = postings if amount > 0 else postings[::-1]
    return first + last


def _usage_reported(event: usage.UsageReported, subjects: Subjects) -> tuple[Posting, ...]:
    return _deliver_metered(event, subjects, event.readings)


def _usage_corrected(event: usage.UsageCorrected, subjects: Subjects) -> tuple[Posting, ...]:
    return _deliver_metered(event, subjects, (event.after,), (event.before,))


def _usage_voided(event: usage.UsageVoided, subjects: Subjects) -> tuple[Posting, ...]:
    return _deliver_metered(event, subjects, (), (event.reading,))


def _deliver_metered(
    event: usage.UsageReported | usage.UsageCorrected | usage.UsageVoided,
    subjects: Subjects,
    added: tuple[usage.Reading, ...],
    taken: tuple[usage.Reading, ...] = (),
) -> tuple[Posting, ...]:
    """Post the usage of the provider's meters. The startup's is only compared and posts nothing.

    What was metered of dark nodes, before a grant was rescheduled, was taken back then, and is not taken again.
    """
    if event.meter != "provider":
        return ()
    begins_at = _get(subjects, event.grant_id).begins_at
    add, take = (
        sum(each.gpu_seconds for each in readings if begins_at is None or each.start >= begins_at)
        for readings in (added, taken)
    )
    return _deliver(subjects, event.grant_id, Decimal(add - take))


def _line_agreed(event: service_line.ServiceLineAgreed, subjects: Subjects) -> tuple[Posting, ...]:
    subject = Subject(
        id=event.service_line_id,
        unit=f"service-hour:{event.service_line_id}",
        party_id=event.startup_id,
        source=f"{event.service_line_id}/offered",
        source_party_id=event.provider_id,
        open=event.hours,
    )
    subjects.put(subject)
    return _move(subject.unit, subject.open, _source(subject), _own(subject, "committed"))


def _hours_metered(event: Any, subjects: Subjects) -> tuple[Posting, ...]:
    if isinstance(event, service_line.ServiceLineReported):
        amount = sum((each.hours for each in event.readings), Decimal(0))
    elif isinstance(event, service_line.ServiceLineCorrected):
        amount = event.after.hours - event.before.hours
    else:
        amount = -event.reading.hours
    return _deliver(subjects, event.service_line_id, amount)


def _statement_accepted(event: statement.StatementAccepted, subjects: Subjects) -> tuple[Posting, ...]:
    return _accept(event, subjects, 1)


def _statement_credited(event: statement.StatementCredited, subjects: Subjects) -> tuple[Posting, ...]:
    return _accept(event, subjects, -1)


def _accept(
    event: statement.StatementAccepted | statement.StatementCredited, subjects: Subjects, sign: int
) -> tuple[Posting, ...]:
    if event.service_line_id is not None:
        return _deliver(subjects, event.service_line_id, accepted=sign * event.charges.service_hours)
    return _deliver(subjects, event.grant_id, accepted=Decimal(sign * event.charges.gpu_seconds))


def _issuer_formed(event: issuer.IssuerFormed, subjects: Subjects) -> tuple[Posting, ...]:
    subjects.put(Subject(event.issuer_id, "", event.party_id, "", event.party_id))
    return ()


def _instrument_issued(event: instrument.InstrumentIssued, subjects: Subjects) -> tuple[Posting, ...]:
    subject = Subject(
        id=event.instrument_id,
        unit=f"principal-USD:{event.instrument_id}",
        party_id=event.holder_id,
        source=f"{event.instrument_id}/promised",
        source_party_id=_get(subjects, event.issuer_id).party_id,
        open=event.commitment_usd,
    )
    subjects.put(subject)
    return _move(subject.unit, subject.open, _source(subject), _own(subject, "undrawn"))


def _draw(subjects: Subjects, instrument_id: str, amount: Decimal, kind: str = "accrued") -> tuple[Posting, ...]:
    subject = _get(subjects, instrument_id)
    left = subject.open if subject.closed else subject.open - amount
    subjects.put(replace(subject, open=left))
    source = _source(subject) if subject.closed else _own(subject, "undrawn")
    return _move(subject.unit, amount, source, _own(subject, kind))


def _accrued(event: instrument.InstrumentPrincipalAccrued, subjects: Subjects) -> tuple[Posting, ...]:
    return _draw(subjects, event.instrument_id, event.principal_usd)


_BECAME: Final = {"outstanding": "accrued", "shares": "converted", "money": "repaid"}


def _reversed(event: instrument.InstrumentPrincipalReversed, subjects: Subjects) -> tuple[Posting, ...]:
    back = _draw(subjects, event.instrument_id, -event.principal_usd, _BECAME[event.became])
    return (*back, *_owe(subjects, event.instrument_id, event.debt_usd))


def _owe(subjects: Subjects, instrument_id: str, amount: Decimal) -> tuple[Posting, ...]:
    subject = _get(subjects, instrument_id)
    due = (f"{instrument_id}/due", subject.source_party_id)
    return _move(f"debt-USD:{instrument_id}", amount, _own(subject, "owed"), due)


def _debt_paid(event: instrument.InstrumentDebtPaid, subjects: Subjects) -> tuple[Posting, ...]:
    return _owe(subjects, event.instrument_id, -event.amount_usd)


def _commitment_reduced(event: instrument.InstrumentCommitmentReduced, subjects: Subjects) -> tuple[Posting, ...]:
    subject = _get(subjects, event.instrument_id)
    subjects.put(replace(subject, open=subject.open - event.amount_usd))
    return _move(subject.unit, event.amount_usd, _own(subject, "undrawn"), _source(subject))


def _undrawn_back(event: Any, subjects: Subjects) -> tuple[Posting, ...]:
    subject = _get(subjects, event.instrument_id)
    subjects.put(replace(subject, open=Decimal(0), closed=True))
    return _move(subject.unit, subject.open, _own(subject, "undrawn"), _source(subject))


def _instrument_transferred(event: instrument.InstrumentTransferred, subjects: Subjects) -> tuple[Posting, ...]:
    before = _get(subjects, event.instrument_id)
    after = replace(before, party_id=event.holder_id_after, passed=True)
    subjects.put(after)
    left = Decimal(0) if before.closed else before.open
    return (
        *_move(before.unit, left, _own(before, "undrawn"), _own(after, "undrawn")),
        *_move(before.unit, event.principal_usd, _own(before, "accrued"), _own(after, "accrued")),
    )


def _converted(event: instrument.InstrumentConverted, subjects: Subjects) -> tuple[Posting, ...]:
    subject = _get(subjects, event.instrument_id)
    return _move(subject.unit, event.principal_usd, _own(subject, "accrued"), _own(subject, "converted"))


def _repaid(event: instrument.InstrumentRepaid, subjects: Subjects) -> tuple[Posting, ...]:
    subject = _get(subjects, event.instrument_id)
    return _move(subject.unit, event.principal_usd, _own(subject, "accrued"), _own(subject, "repaid"))


RULES: Final[Mapping[type[Event], Rule]] = {
    account.AccountDeposited: _deposited,
    account.AccountWithdrawn: _withdrawn,
    account.AccountHoldPlaced: _hold_placed,
    account.AccountHoldCaptured: _hold_captured,
    account.AccountHoldReleased: _hold_released,
    account.AccountHoldExpired: _hold_released,
    account.AccountDebited: _debited,
    account.AccountCredited: _credited,
    grant.GrantIssued: _grant_issued,
    grant.GrantSubstituted: _grant_substituted,
    grant.GrantExtended: _grant_extended,
    grant.GrantRescheduled: _grant_rescheduled,
    grant.GrantTransferred: _grant_transferred,
    grant.GrantResold: _grant_resold,
    grant.GrantCompleted: _grant_ended,
    grant.GrantTerminated: _grant_ended,
    usage.UsageReported: _usage_reported,
    usage.UsageCorrected: _usage_corrected,
    usage.UsageVoided: _usage_voided,
    service_line.ServiceLineAgreed: _line_agreed,
    service_line.ServiceLineReported: _hours_metered,
    service_line.ServiceLineCorrected: _hours_metered,
    service_line.ServiceLineVoided: _hours_metered,
    service_line.ServiceLineClosed: lambda event, subjects: _settle(subjects, event.service_line_id),
    statement.StatementAccepted: _statement_accepted,
    statement.StatementCredited: _statement_credited,
    issuer.IssuerFormed: _issuer_formed,
    instrument.InstrumentIssued: _instrument_issued,
    instrument.InstrumentPrincipalAccrued: _accrued,
    instrument.InstrumentPrincipalReversed: _reversed,
    instrument.InstrumentCommitmentReduced: _commitment_reduced,
    instrument.InstrumentDebtPaid: _debt_paid,
    instrument.InstrumentLapsed: _undrawn_back,
    instrument.InstrumentCancelled: _undrawn_back,
    instrument.InstrumentTransferred: _instrument_transferred,
    instrument.InstrumentConverted: _converted,
    instrument.InstrumentRepaid: _repaid,
}
POSTS_NOTHING: Final = tags_of(
    account.AccountOpened,
    account.AccountClosed,
    account.AccountLimitSet,
    account.AccountLimitUsed,
    account.AccountReserved,
    account.AccountCreditLimited,
    account.AccountCreditCommitted,
    account.AccountApprovalRequested,
    account.AccountApprovalGiven,
    account.AccountApprovalEnded,
    grant.GrantActivated,
    grant.GrantDegraded,
    grant.GrantSuspended,
    grant.GrantResumed,
    grant.GrantMarked,
    grant.GrantStagePaid,
    grant.GrantStageMissed,
    grant.GrantWithheld,
    grant.GrantWithholdingEnded,
    grant.GrantPrioritised,
    grant.GrantServiceLineAdded,
    service_line.ServiceLineProposed,
    service_line.ServiceLineApproved,
    service_line.ServiceLineDeclined,
    service_line.ServiceLineLimited,
    usage.UsageIdentified,
    usage.UsageEvidenced,
    usage.UsageClosed,
    usage.UsageLimited,
    usage.UsageAllocated,
    usage.UsageReallocated,
    statement.StatementIssued,
    statement.StatementServiceCredited,
    statement.StatementAgreed,
    statement.StatementDisputed,
    statement.StatementAnswered,
    statement.StatementConceded,
    statement.StatementReferred,
    statement.StatementPartSettled,
    statement.StatementResolved,
    instrument.InstrumentSuspended,
    instrument.InstrumentResumed,
    instrument.InstrumentAmended,
    instrument.InstrumentMatured,
    instrument.InstrumentMfnNoticed,
    instrument.InstrumentMfnElected,
) | (all_of("issuer") - tags_of(issuer.IssuerFormed))


def post(event: Event, subjects: Subjects) -> tuple[Posting, ...]:
    """Return the entries of one event, and update `subjects` for later events.

    Raises:
        Corrupt: The event posts to a grant, a service line or an instrument that no earlier event began.
        AssertionError: The entries do not sum to zero in each unit.
    """
    rule = RULES.get(type(event))
    if rule is None:
        return ()
    postings = rule(event, subjects)
    assert not any(sum_by_unit(postings).values()), f"{type(event).__name__} does not balance"
    return postings
