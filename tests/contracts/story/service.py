"""An appendix to the fourth chapter: a grant that ends early, and was below its promise until then.

Of twelve hours the node did not work for three: three quarters of what was promised was available, and half of the
charges is given back without anyone asking for it; it ended, so nothing can roll forward. Another grant of one day is
delivered again, since its node did not work for two hours of it.
"""

from decimal import Decimal

from events.account import AccountCredited, AccountDebited, AccountHoldCaptured, AccountHoldReleased
from events.grant import GrantActivated, GrantDegraded, GrantExtended, GrantResumed, GrantTerminated
from events.pool import PoolCapacityReleased, PoolCapacityReserved, PoolNodeFailed, PoolNodeRestored
from events.service import ServiceResult
from events.statement import (
    Charges,
    ServiceCredit,
    StatementAccepted,
    StatementIssued,
    StatementServiceCredited,
)
from events.types import LotShare
from events.usage import UsageClosed, UsageIdentified, UsageReported
from tests.contracts.story.clearing import EVALUATION_GRANT
from tests.contracts.story.demand import EVALUATION_HOLD
from tests.contracts.story.identifiers import name
from tests.contracts.story.limited import limited
from tests.contracts.story.metered import METER, reading
from tests.contracts.story.quotes import QUOTED_LOTS
from tests.contracts.story.supply import LOT, NORTHFJORD, NORTHFJORD_CASH, POOL, QUILLWORK, QUILLWORK_CASH, at, drawn
from tests.contracts.story.support import close_support, limit_support, tell_support
from tests.contracts.story.teller import Teller

_INCIDENT = "RJU-2026-017"
_USAGE = name("usg", "evaluation")
_STATEMENT = name("stm", "evaluation")
_CHARGES = Charges(
    gpu_seconds=72 * 3_600,
    provider_usd=Decimal("158.40"),
    cash_usd=Decimal("158.40"),
    holder_usd=Decimal("0.00"),
    principal_usd=Decimal("0.00"),
)
_SERVICE = ServiceResult(
    gpu_seconds_promised=96 * 3_600,
    gpu_seconds_unavailable=24 * 3_600,
    gpu_seconds_delivered=72 * 3_600,
    availability="3/4",
    availability_min=Decimal("0.95"),
    met=False,
    credit=Decimal("0.50"),
    consequence="credit",
)
_SHORT_GRANT = f"grt{name('quo', 'taken')[3:]}"
_SHORT_STATEMENT = name("stm", "short")


def tell_evaluation(teller: Teller) -> None:
    """Run the evaluation grant for half a day, with a node that failed, and settle it."""
    start, failed, restored, end = (at(f"2026-03-17T{hour}:00") for hour in ("00", "06", "09", "12"))
    teller.tell("2026-03-17T00:00", "timer", GrantActivated(grant_id=EVALUATION_GRANT, at=start))
    teller.tell(
        "2026-03-17T06:01",
        NORTHFJORD,
        PoolNodeFailed(pool_id=POOL, incident_id=_INCIDENT, nodes=1, at=failed),
        GrantDegraded(grant_id=EVALUATION_GRANT, nodes_available=0, at=failed, reason=f"incident {_INCIDENT}"),
    )
    teller.tell(
        "2026-03-17T09:01",
        NORTHFJORD,
        PoolNodeRestored(pool_id=POOL, incident_id=_INCIDENT, nodes=1, at=restored),
        GrantResumed(grant_id=EVALUATION_GRANT, at=restored),
    )
    tell_support(teller)
    why, noticed = "the startup no longer needs it", at("2026-03-17T10:00")
    teller.tell(
        "2026-03-17T10:00",
        QUILLWORK,
        GrantTerminated(grant_id=EVALUATION_GRANT, at=end, by="startup", noticed_at=noticed, reason=why),
        *limited(EVALUATION_GRANT, _USAGE, end),
        limit_support(start, end),
        PoolCapacityReleased(pool_id=POOL, grant_id=EVALUATION_GRANT, at=end),
        drawn(POOL, EVALUATION_GRANT, LotShare(lot_id=LOT, nodes=1, start=start, end=end)),
    )
    readings = (
        reading("2026-03-17/00", "2026-03-17T00:00", "2026-03-17T06:00", 1),
        reading("2026-03-17/09", "2026-03-17T09:00", "2026-03-17T12:00", 1),
    )
    teller.tell(
        "2026-03-17T12:02",
        METER,
        UsageReported(usage_id=_USAGE, grant_id=EVALUATION_GRANT, source=METER, readings=readings),
        UsageIdentified(
            usage_id=name("usg", "meter of hall 2"),
            party_id=NORTHFJORD,
            source=METER,
            grant_id=EVALUATION_GRANT,
            reading_ids=tuple(reading.reading_id for reading in readings),
        ),
    )
    _tell_settlement(teller)


def _tell_settlement(teller: Teller) -> None:
    named = {"statement_id": _STATEMENT, "grant_id": EVALUATION_GRANT}
    parties = {"startup_id": QUILLWORK, "provider_id": NORTHFJORD}
    teller.tell(
        "2026-03-18T12:00",
        "timer",
        StatementIssued(
            **named,
            **parties,
            period_start=at("2026-03-17T00:00"),
            period_end=at("2026-03-17T12:00"),
            charges=_CHARGES,
            accept_until=at("2026-03-25T12:00"),
            service=_SERVICE,
        ),
    )
    credit = ServiceCredit(
        provider_usd=Decimal("79.20"),
        cash_usd=Decimal("79.20"),
        holder_usd=Decimal("0.00"),
        principal_usd=Decimal("0.00"),
    )
    startup = {"account_id": QUILLWORK_CASH, "party_id": QUILLWORK}
    provider = {"account_id": NORTHFJORD_CASH, "party_id": NORTHFJORD}
    paid, back = {"amount_usd": _CHARGES.cash_usd}, {"amount_usd": credit.cash_usd}
    cause = {"cause": _STATEMENT}
    teller.tell(
        "2026-03-19T09:00",
        QUILLWORK,
        StatementAccepted(**named, charges=_CHARGES, by="acceptance"),
        StatementServiceCredited(**named, **parties, service=_SERVICE, credit=credit),
        AccountHoldCaptured(**startup, **paid, **cause, hold_id=EVALUATION_HOLD, payee_account_id=NORTHFJORD_CASH),
        AccountCredited(**provider, **paid, **cause, payer_account_id=QUILLWORK_CASH),
        AccountDebited(**provider, **back, **cause, payee_account_id=QUILLWORK_CASH),
        AccountCredited(**startup, **back, **cause, payer_account_id=NORTHFJORD_CASH),
    )
    reason = "the grant ended"
    teller.tell(
        "2026-03-19T09:01",
        "timer",
        UsageClosed(usage_id=_USAGE, grant_id=EVALUATION_GRANT, gpu_seconds=_CHARGES.gpu_seconds),
        *close_support(reason),
        AccountHoldReleased(**startup, hold_id=EVALUATION_HOLD, amount_usd=Decimal("264.00"), reason=reason),
    )


def tell_rolled_day(teller: Teller) -> None:
    """Let a grant of one day go on for another, since the first was below its promise."""
    start, failed, restored = (at(f"2026-03-20T{hour}:00") for hour in ("00", "10", "12"))
    begin, end = at("2026-03-22T00:00"), at("2026-03-23T00:00")
    teller.tell("2026-03-20T00:00", "timer", GrantActivated(grant_id=_SHORT_GRANT, at=start))
    down = GrantDegraded(grant_id=_SHORT_GRANT, nodes_available=0, at=failed, reason="its fans are changed")
    teller.tell("2026-03-20T10:00", NORTHFJORD, down)
    teller.tell("2026-03-20T12:00", NORTHFJORD, GrantResumed(grant_id=_SHORT_GRANT, at=restored))
    nothing = Decimal("0.00")
    lots = (LotShare(lot_id=LOT, nodes=1, start=begin, end=end),)
    teller.tell(
        "2026-03-22T00:00",
        "timer",
        GrantExtended(
            grant_id=_SHORT_GRANT,
            statement_id=_SHORT_STATEMENT,
            start=begin,
            end=end,
            lots=lots,
            gpu_seconds=192 * 3_600,
        ),
        PoolCapacityReserved(pool_id=POOL, grant_id=_SHORT_GRANT, nodes=1, start=begin, end=end, lots=lots),
        drawn(POOL, _SHORT_GRANT, *QUOTED_LOTS, *lots),
        StatementIssued(
            statement_id=_SHORT_STATEMENT,
            grant_id=_SHORT_GRANT,
            startup_id=QUILLWORK,
            provider_id=NORTHFJORD,
            period_start=start,
            period_end=at("2026-03-21T00:00"),
            charges=Charges(
                gpu_seconds=0, provider_usd=nothing, cash_usd=nothing, holder_usd=nothing, principal_usd=nothing
            ),
            accept_until=at("2026-03-29T00:00"),
            service=ServiceResult(
                gpu_seconds_promised=192 * 3_600,
                gpu_seconds_unavailable=16 * 3_600,
                gpu_seconds_delivered=0,
                availability="11/12",
                availability_min=Decimal("0.95"),
                met=False,
                credit=nothing,
                consequence="roll_forward",
            ),
        ),
        *limited(_SHORT_GRANT, f"usg{_SHORT_GRANT[3:]}", end),
    )
