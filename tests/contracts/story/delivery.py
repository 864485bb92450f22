"""Fourth chapter: seven days of delivery, metered, disputed once, paid, and turned into principal.

Per GPU-hour the startup pays 4/3 dollars and owes 4/3 as principal, the holder pays 16/15, the provider gets 12/5.
"""

from datetime import date
from decimal import Decimal

from events.account import AccountCredited, AccountHoldCaptured, AccountHoldReleased
from events.grant import (
    GrantActivated,
    GrantCompleted,
    GrantDegraded,
    GrantResumed,
    GrantSubstituted,
    GrantSuspended,
    GrantTransferred,
)
from events.instrument import (
    InstrumentLapsed,
    InstrumentPrincipalAccrued,
    InstrumentPrincipalReversed,
    InstrumentResumed,
    InstrumentSuspended,
)
from events.mandate import MandateBudgetReleased
from events.pool import PoolCapacityReleased, PoolCapacityReserved, PoolNodeFailed, PoolNodeRestored
from events.statement import (
    Charges,
    Reference,
    StatementAccepted,
    StatementAgreed,
    StatementAnswered,
    StatementConceded,
    StatementDisputed,
    StatementIssued,
    StatementPartSettled,
    StatementReferred,
    StatementResolved,
)
from events.types import Event, LotShare
from events.usage import (
    Evidence,
    Reading,
    UsageClosed,
    UsageCorrected,
    UsageEvidenced,
    UsageIdentified,
    UsageReported,
    UsageVoided,
)
from tests.contracts.story.allocating import tell_allocating
from tests.contracts.story.clearing import COMPUTE_SAFE, FOLDING_GRANT, FOLDING_LOTS
from tests.contracts.story.credit import tell_credit
from tests.contracts.story.demand import FOLDING_HOLD, LATTICE_ISSUER
from tests.contracts.story.identifiers import name
from tests.contracts.story.metered import METER, USAGE, price, reading, sample
from tests.contracts.story.service import tell_evaluation, tell_rolled_day
from tests.contracts.story.supply import (
    LATTICE,
    LATTICE_CASH,
    LOT,
    MANDATE,
    MANDATE_HOLD,
    NORTHFJORD,
    NORTHFJORD_CASH,
    PLATFORM,
    POOL,
    QUILLWORK,
    SPARE_LOT,
    SPARE_POOL,
    TIDEWATER,
    TIDEWATER_CASH,
    at,
    drawn,
)
from tests.contracts.story.teller import Teller

_METER_RECORD = name("usg", "meter of hall 2")
_INCIDENT = "RJU-2026-014"


def tell_delivery(teller: Teller) -> None:
    """Deliver the folding grant from activation to completion, and end the other one early."""
    _tell_first_day(teller)
    tell_allocating(teller)
    _tell_second_day(teller)
    _tell_the_rest(teller)
    _tell_the_end(teller)


def _tell_first_day(teller: Teller) -> None:
    teller.tell("2026-03-09T00:05", NORTHFJORD, GrantActivated(grant_id=FOLDING_GRANT, at=at("2026-03-09T00:00")))
    day = reading(
        "2026-03-09",
        "2026-03-09T00:00",
        "2026-03-10T00:00",
        4,
        Evidence(gpu_utilisation=Decimal("0.91"), energy_kwh=Decimal("912.4"), xid_errors=0),
    )
    twice = reading("2026-03-09/repeat", "2026-03-09T00:00", "2026-03-10T00:00", 4)
    _report(teller, "2026-03-10T00:02", day, twice)
    seen = tuple(sample(device, "2026-03-09T12:00") for device in ("GPU-5f3c", "GPU-91be"))
    evidence = UsageEvidenced(usage_id=USAGE, grant_id=FOLDING_GRANT, source=METER, samples=seen)
    teller.tell("2026-03-10T00:03", METER, evidence)
    teller.tell(
        "2026-03-10T00:20",
        METER,
        UsageVoided(
            usage_id=USAGE, grant_id=FOLDING_GRANT, source=METER, reading=twice, reason="the day was sent twice"
        ),
    )
    first = name("stm", "9 March")
    charges = price(768)
    _issue(teller, "2026-03-10T01:00", first, "2026-03-09T00:00", "2026-03-10T00:00", charges=charges)
    teller.tell(
        "2026-03-10T09:00",
        LATTICE,
        StatementAccepted(statement_id=first, grant_id=FOLDING_GRANT, charges=charges, by="acceptance"),
        *_settle(first, charges),
    )


def _tell_second_day(teller: Teller) -> None:
    failed, restored = at("2026-03-10T06:00"), at("2026-03-10T09:00")
    teller.tell(
        "2026-03-10T06:01",
        NORTHFJORD,
        PoolNodeFailed(pool_id=POOL, incident_id=_INCIDENT, nodes=1, at=failed),
        GrantDegraded(grant_id=FOLDING_GRANT, nodes_available=3, at=failed, reason=f"incident {_INCIDENT}"),
    )
    teller.tell(
        "2026-03-10T09:01",
        NORTHFJORD,
        PoolNodeRestored(pool_id=POOL, incident_id=_INCIDENT, nodes=1, at=restored),
        GrantResumed(grant_id=FOLDING_GRANT, at=restored),
    )
    before = reading("2026-03-10/06", "2026-03-10T06:00", "2026-03-10T09:00", 4)
    after = reading("2026-03-10/06", "2026-03-10T06:00", "2026-03-10T09:00", 3)
    _report(
        teller,
        "2026-03-11T00:02",
        reading("2026-03-10/00", "2026-03-10T00:00", "2026-03-10T06:00", 4),
        before,
        reading("2026-03-10/09", "2026-03-10T09:00", "2026-03-11T00:00", 4),
    )
    second, issued, settled = name("stm", "10 March"), price(768), price(744)
    _issue(teller, "2026-03-11T01:00", second, "2026-03-10T00:00", "2026-03-11T00:00", charges=issued)
    claim = StatementDisputed(
        statement_id=second,
        grant_id=FOLDING_GRANT,
        gpu_seconds_counted=744 * 3_600,
        reason=f"one node was down for three hours, incident {_INCIDENT}",
        answer_until=at("2026-03-18T08:00"),
        evidence=(Reference(kind="outage", reference=_INCIDENT),),
    )
    part_id = name("stm", "10 March, undisputed")
    undisputed = StatementPartSettled(statement_id=second, grant_id=FOLDING_GRANT, charges=settled, part_id=part_id)
    teller.tell("2026-03-11T08:00", LATTICE, claim, undisputed, *_settle(second, settled))
    _argue(teller, second)
    reason = "the meter counted a failed node"
    teller.tell(
        "2026-03-11T10:00",
        METER,
        UsageCorrected(usage_id=USAGE, grant_id=FOLDING_GRANT, source=METER, before=before, after=after, reason=reason),
    )
    teller.tell(
        "2026-03-11T11:00",
        PLATFORM,
        StatementResolved(
            statement_id=second,
            grant_id=FOLDING_GRANT,
            charges_before=issued,
            charges=settled,
            reason=reason,
            by="platform",
        ),
        StatementAccepted(statement_id=second, grant_id=FOLDING_GRANT, charges=settled, by="resolution"),
    )


def _argue(teller: Teller, statement: str) -> None:
    """The provider concedes two GPU-hours and offers to meet half way; the startup insists and asks the platform."""
    named, until = {"statement_id": statement, "grant_id": FOLDING_GRANT}, at("2026-03-18T09:00")
    teller.tell(
        "2026-03-11T09:00",
        NORTHFJORD,
        StatementConceded(
            **named,
            by="provider",
            reason="two GPU-hours were a maintenance",
            charges=price(766),
            gpu_seconds=766 * 3_600,
            gpu_seconds_counted=744 * 3_600,
            counted_by="startup",
        ),
        StatementAnswered(
            **named,
            by="provider",
            reason="half of it was idle, not down",
            answer_until=until,
            gpu_seconds_offered=755 * 3_600,
            evidence=(Reference(kind="document", reference="rack.log", content_hash="0f" * 32),),
        ),
    )
    teller.tell(
        "2026-03-11T09:20",
        LATTICE,
        StatementAnswered(**named, by="startup", reason="all of it was down", answer_until=until),
        StatementReferred(**named, by="startup", reason="please decide", decide_until=at("2026-04-10T09:20")),
    )


def _tell_the_rest(teller: Teller) -> None:
    paused, resumed = at("2026-03-12T10:00"), at("2026-03-12T10:20")
    reason = "identity check of a new operator"
    teller.tell(
        "2026-03-12T10:00",
        PLATFORM,
        GrantSuspended(grant_id=FOLDING_GRANT, at=paused, reason=reason),
        InstrumentSuspended(instrument_id=COMPUTE_SAFE, reason=reason),
    )
    teller.tell(
        "2026-03-12T10:20",
        PLATFORM,
        GrantResumed(grant_id=FOLDING_GRANT, at=resumed),
        InstrumentResumed(instrument_id=COMPUTE_SAFE),
    )
    moved, end = at("2026-03-13T00:00"), at("2026-03-16T00:00")
    spare = (LotShare(lot_id=SPARE_LOT, nodes=4, start=moved, end=end),)
    teller.tell(
        "2026-03-12T20:00",
        NORTHFJORD,
        PoolCapacityReleased(pool_id=POOL, grant_id=FOLDING_GRANT, at=moved),
        PoolCapacityReserved(pool_id=SPARE_POOL, grant_id=FOLDING_GRANT, nodes=4, start=moved, end=end, lots=spare),
        drawn(POOL, FOLDING_GRANT, LotShare(lot_id=LOT, nodes=4, start=FOLDING_LOTS[0].start, end=moved)),
        drawn(SPARE_POOL, FOLDING_GRANT, *spare),
        GrantSubstituted(
            grant_id=FOLDING_GRANT,
            pool_id=SPARE_POOL,
            pool_id_before=POOL,
            lots=spare,
            at=moved,
            reason="the fabric of the first pool is serviced",
        ),
    )
    teller.tell(
        "2026-03-15T12:00",
        LATTICE,
        GrantTransferred(grant_id=FOLDING_GRANT, startup_id=QUILLWORK, startup_id_before=LATTICE),
    )
    _report(teller, "2026-03-16T00:02", reading("2026-03-11/15", "2026-03-11T00:00", "2026-03-16T00:00", 4))
    third, charges = name("stm", "11 to 15 March"), price(3_840)
    _issue(teller, "2026-03-16T01:00", third, "2026-03-11T00:00", "2026-03-16T00:00", charges=charges)
    agreed = StatementAgreed(statement_id=third, grant_id=FOLDING_GRANT, by="startup")
    teller.tell("2026-03-17T09:00", LATTICE, agreed)
    teller.tell(
        "2026-03-23T01:00",
        "timer",
        StatementAccepted(statement_id=third, grant_id=FOLDING_GRANT, charges=charges, by="silence"),
        *_settle(third, charges),
    )


def _tell_the_end(teller: Teller) -> None:
    reason = "24 GPU-hours were not delivered"
    teller.tell(
        "2026-03-23T01:01",
        "settler",
        GrantCompleted(grant_id=FOLDING_GRANT, gpu_seconds_accepted=5_352 * 3_600),
        UsageClosed(usage_id=USAGE, grant_id=FOLDING_GRANT, gpu_seconds=5_352 * 3_600),
        InstrumentLapsed(
            instrument_id=COMPUTE_SAFE,
            issuer_id=LATTICE_ISSUER,
            holder_id=TIDEWATER,
            undrawn_usd=Decimal("32.00"),
            reason=reason,
        ),
        MandateBudgetReleased(
            mandate_id=MANDATE, hold_id=FOLDING_HOLD, amount_usd=Decimal("25.60"), reason=reason, committed=True
        ),
        _freed(LATTICE_CASH, LATTICE, FOLDING_HOLD, "32.00", reason),
    )
    tell_credit(teller)
    teller.tell(
        "2026-03-24T09:00",
        PLATFORM,
        InstrumentPrincipalReversed(
            instrument_id=COMPUTE_SAFE,
            tranche_id=name("trn", name("stm", "11 to 15 March")),
            issuer_id=LATTICE_ISSUER,
            holder_id=TIDEWATER,
            principal_usd=Decimal("14.67"),
            reason="waived by the holder for the interruption of 12 March",
        ),
    )
    tell_evaluation(teller)
    tell_rolled_day(teller)


def _report(teller: Teller, when: str, *readings: Reading) -> None:
    teller.tell(
        when,
        METER,
        UsageReported(usage_id=USAGE, grant_id=FOLDING_GRANT, source=METER, readings=readings),
        UsageIdentified(
            usage_id=_METER_RECORD,
            party_id=NORTHFJORD,
            source=METER,
            grant_id=FOLDING_GRANT,
            reading_ids=tuple(reading.reading_id for reading in readings),
        ),
    )


def _issue(teller: Teller, when: str, statement: str, start: str, end: str, *, charges: Charges) -> None:
    teller.tell(
        when,
        "settler",
        StatementIssued(
            statement_id=statement,
            grant_id=FOLDING_GRANT,
            startup_id=LATTICE,
            provider_id=NORTHFJORD,
            period_start=at(start),
            period_end=at(end),
            charges=charges,
            accept_until=at(f"{end[:8]}{int(end[8:10]) + 7:02d}T01:00"),
        ),
    )


def _settle(statement: str, charges: Charges) -> tuple[Event, ...]:
    """Return what follows an accepted statement: both pay the provider, and a tranche is born."""
    return (
        _captured(LATTICE_CASH, LATTICE, FOLDING_HOLD, charges.cash_usd, statement),
        _captured(TIDEWATER_CASH, TIDEWATER, MANDATE_HOLD, charges.holder_usd, statement),
        _credited(charges.cash_usd, LATTICE_CASH, statement),
        _credited(charges.holder_usd, TIDEWATER_CASH, statement),
        InstrumentPrincipalAccrued(
            instrument_id=COMPUTE_SAFE,
            tranche_id=name("trn", statement),
            issuer_id=LATTICE_ISSUER,
            holder_id=TIDEWATER,
            principal_usd=charges.principal_usd,
            statement_id=statement,
            terms_version=1,
            interest_from=date(2026, 3, 1),
        ),
    )


def _captured(account: str, party: str, hold: str, amount: Decimal, cause: str) -> AccountHoldCaptured:
    return AccountHoldCaptured(
        account_id=account,
        party_id=party,
        hold_id=hold,
        amount_usd=amount,
        payee_account_id=NORTHFJORD_CASH,
        cause=cause,
    )


def _credited(amount: Decimal, payer: str, cause: str) -> AccountCredited:
    return AccountCredited(
        account_id=NORTHFJORD_CASH, party_id=NORTHFJORD, amount_usd=amount, payer_account_id=payer, cause=cause
    )


def _freed(account: str, party: str, hold: str, amount: str, reason: str) -> AccountHoldReleased:
    return AccountHoldReleased(
        account_id=account, party_id=party, hold_id=hold, amount_usd=Decimal(amount), reason=reason
    )
