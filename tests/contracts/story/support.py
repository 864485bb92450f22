"""Beside the evaluation grant an engineer of the provider helps, by the hour; the same for the other grant is declined.

Three hours are agreed on and set aside. Of two readings one is corrected and one taken back, an hour and a half is
stated and accepted, and what was not worked is free again as the grant is settled.
"""

from datetime import datetime
from decimal import Decimal

from events.account import AccountCredited, AccountHoldCaptured, AccountHoldPlaced, AccountHoldReleased
from events.grant import GrantServiceLineAdded
from events.service_line import (
    HoursReading,
    Run,
    ServiceLineAgreed,
    ServiceLineApproved,
    ServiceLineClosed,
    ServiceLineCorrected,
    ServiceLineDeclined,
    ServiceLineLimited,
    ServiceLineProposed,
    ServiceLineReported,
    ServiceLineVoided,
)
from events.statement import Charges, StatementAccepted, StatementIssued
from events.types import Event
from events.usage import UsageIdentified
from tests.contracts.story.clearing import EVALUATION_GRANT, FOLDING_GRANT
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import NORTHFJORD, NORTHFJORD_CASH, QUILLWORK, QUILLWORK_CASH, TIDEWATER, at
from tests.contracts.story.teller import Teller

_LINE, _OTHER, _STATEMENT = name("svl", "evaluation"), name("svl", "folding"), name("stm", "evaluation support")
_HOLD = f"hld{_LINE[3:]}"
_SHEET = "urn:sheet:rjukan-engineering"
_NAMED = {"service_line_id": _LINE, "grant_id": EVALUATION_GRANT}
_PARTIES = {"startup_id": QUILLWORK, "provider_id": NORTHFJORD}
_STARTUP = {"account_id": QUILLWORK_CASH, "party_id": QUILLWORK}
_HOURS, _PRICE = Decimal(3), Decimal(20)
_CHARGES = Charges(
    gpu_seconds=0,
    service_hours=Decimal("1.5"),
    provider_usd=Decimal("30.00"),
    cash_usd=Decimal("30.00"),
    holder_usd=Decimal("0.00"),
    principal_usd=Decimal("0.00"),
)


def _reading(word: str, hours: str) -> HoursReading:
    start, end = at("2026-03-17T09:00"), at("2026-03-17T11:00")
    return HoursReading(reading_id=word, start=start, end=end, hours=Decimal(hours))


def tell_support(teller: Teller) -> None:
    """Agree on support for one grant and not for the other, and work."""
    offer = {"name": "engineering support", "price_usd_per_hour": _PRICE, "hours": _HOURS, "workers": 2}
    other = {"service_line_id": _OTHER, "grant_id": FOLDING_GRANT}
    declined = ServiceLineDeclined(**other, by="startup", reason="no help is needed there")
    teller.tell("2026-03-17T01:00", NORTHFJORD, ServiceLineProposed(**_NAMED, **_PARTIES, **offer, holder_id=None))
    teller.tell("2026-03-17T01:01", NORTHFJORD, ServiceLineProposed(**other, **_PARTIES, **offer, holder_id=TIDEWATER))
    teller.tell("2026-03-17T01:30", TIDEWATER, ServiceLineApproved(**other, holder_id=TIDEWATER))
    teller.tell("2026-03-17T02:00", QUILLWORK, declined)
    cash = _HOURS * _PRICE
    teller.tell(
        "2026-03-17T02:01",
        QUILLWORK,
        ServiceLineAgreed(
            **_NAMED,
            **_PARTIES,
            at=at("2026-03-17T02:01"),
            hours=_HOURS,
            hold_id=_HOLD,
            cash_commitment_usd=cash,
        ),
        GrantServiceLineAdded(**{name: _NAMED[name] for name in ("grant_id", "service_line_id")}),
        AccountHoldPlaced(**_STARTUP, hold_id=_HOLD, amount_usd=cash, purpose=_LINE),
    )
    _tell_work(teller)


def _tell_work(teller: Teller) -> None:
    source = {**_NAMED, "source": _SHEET}
    profiling, wrong = _reading("profiling", "2"), _reading("wrong ticket", "1")
    teller.tell(
        "2026-03-17T12:05",
        NORTHFJORD,
        ServiceLineReported(**source, readings=(profiling, wrong)),
        UsageIdentified(
            usage_id=name("usg", "time sheet"),
            party_id=NORTHFJORD,
            source=_SHEET,
            grant_id=_LINE,
            reading_ids=(profiling.reading_id, wrong.reading_id),
        ),
    )
    after = _reading("profiling", "1.5")
    teller.tell(
        "2026-03-17T12:06",
        NORTHFJORD,
        ServiceLineCorrected(**source, before=profiling, after=after, reason="half an hour was a break"),
    )
    taken = ServiceLineVoided(**source, reading=wrong, reason="the ticket was another grant's")
    teller.tell("2026-03-17T12:07", NORTHFJORD, taken)
    named = {"statement_id": _STATEMENT, "grant_id": EVALUATION_GRANT, "service_line_id": _LINE}
    teller.tell(
        "2026-03-18T12:00",
        "timer",
        StatementIssued(
            **named,
            **_PARTIES,
            period_start=at("2026-03-17T00:00"),
            period_end=at("2026-03-17T12:00"),
            charges=_CHARGES,
            accept_until=at("2026-03-25T12:00"),
        ),
    )
    paid = {"amount_usd": _CHARGES.cash_usd, "cause": _STATEMENT}
    provider = {"account_id": NORTHFJORD_CASH, "party_id": NORTHFJORD}
    teller.tell(
        "2026-03-19T08:50",
        QUILLWORK,
        StatementAccepted(**named, charges=_CHARGES, by="acceptance"),
        AccountHoldCaptured(**_STARTUP, **paid, hold_id=_HOLD, payee_account_id=NORTHFJORD_CASH),
        AccountCredited(**provider, **paid, payer_account_id=QUILLWORK_CASH),
    )


def limit_support(start: datetime, end: datetime) -> ServiceLineLimited:
    """Return what an early end of the grant is for its support."""
    return ServiceLineLimited(**_NAMED, runs=(Run(start=start, end=end),))


def close_support(reason: str) -> tuple[Event, ...]:
    """Return what the end of the grant is for its support."""
    left = _HOURS * _PRICE - _CHARGES.cash_usd
    return (
        ServiceLineClosed(**_NAMED, hours=_CHARGES.service_hours),
        AccountHoldReleased(**_STARTUP, hold_id=_HOLD, amount_usd=left, reason=reason),
    )
