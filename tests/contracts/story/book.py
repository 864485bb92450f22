"""The whole story in order, and the golden sample of each event type: the first event of that type."""

import hashlib
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache

from events.instrument import InstrumentConverted
from events.issuer import IssuerStockIssued
from events.log import LogAnnotated, LogGapAccepted, LogLossAccepted, LostEvent
from events.registry import EVENT_TYPES
from events.schedule import (
    EndTerms,
    NearHold,
    NoticeFee,
    RemedyTerms,
    ScheduleDepositCounted,
    SchedulePublished,
    ScheduleTerms,
)
from events.subjects import LOG_ID, render_subject
from tests.contracts.story.bonds import tell_bonds, tell_return
from tests.contracts.story.clearing import COMPUTE_SAFE, tell_clearing
from tests.contracts.story.delivery import tell_delivery
from tests.contracts.story.demand import tell_demand
from tests.contracts.story.equity import tell_equity
from tests.contracts.story.holders import tell_holders, tell_refusal
from tests.contracts.story.identifiers import name
from tests.contracts.story.late import tell_late
from tests.contracts.story.persons import tell_persons
from tests.contracts.story.proposals import tell_proposals
from tests.contracts.story.quotes import tell_quotes
from tests.contracts.story.relations import tell_relations
from tests.contracts.story.repeats import tell_repeats
from tests.contracts.story.resale import tell_resale
from tests.contracts.story.rights import tell_option_transfer, tell_rights
from tests.contracts.story.sale import tell_sale
from tests.contracts.story.stages import tell_stages
from tests.contracts.story.supply import LATTICE_CASH, PLATFORM, QUILLWORK, tell_supply
from tests.contracts.story.teller import Teller, Told
from tests.contracts.story.warrants import tell_warrants


@cache
def tell_story() -> tuple[Told, ...]:
    """Return every event of the story in the order of the log."""
    teller = Teller()
    tell_supply(teller)
    tell_demand(teller)
    tell_clearing(teller)
    tell_quotes(teller)
    tell_resale(teller)
    tell_delivery(teller)
    tell_equity(teller)
    tell_rights(teller)
    tell_sale(teller, _count_series_a(teller), _find_compute_price(teller))
    _tell_log(teller)
    tell_repeats(teller)
    tell_warrants(teller)
    tell_persons(teller)
    tell_proposals(teller)
    tell_holders(teller)
    tell_relations(teller)
    _tell_schedule(teller)
    tell_bonds(teller)
    tell_stages(teller)
    tell_late(teller)
    tell_refusal(teller)
    tell_return(teller, "2031-12-31T09:00")
    tell_option_transfer(teller)
    return tuple(teller.seal())


def _tell_schedule(teller: Teller) -> None:
    """The platform publishes quotas and fees."""
    terms = ScheduleTerms(
        order_usd_min=Decimal("5.00"),
        orders_max=10_000,
        quotes_max=8,
        hold_share_per_hour=Decimal("0.001"),
        near=(NearHold(hours_max=24, multiple=Decimal(4)),),
        ends=(
            EndTerms(
                value_usd_min=Decimal("0.00"),
                notice_hours_min=72,
                fees=(NoticeFee(notice_hours_min=0, share=Decimal("0.10")),),
                remedies=RemedyTerms(cure_hours=24, damages_share=Decimal("0.25"), make_whole_share=Decimal("0.25")),
            ),
        ),
    )
    teller.tell("2031-02-20T09:00", PLATFORM, SchedulePublished(schedule_id=name("sch", "market"), terms=terms))
    counted = ScheduleDepositCounted(
        schedule_id=name("sch", "market"),
        person="teller-1",
        account_id=LATTICE_CASH,
        amount_usd=Decimal("900.00"),
        at=datetime(2031, 2, 21, 9, tzinfo=UTC),
        cause=name("cmd", "deposit"),
    )
    teller.tell("2031-02-21T09:00", PLATFORM, counted)


def _tell_log(teller: Teller) -> None:
    """A message that was changed on a disk is passed over; a copy that lacks its end, and a gap, are accepted."""
    stored, lost = (
        hashlib.sha256(word).hexdigest() for word in (b"a message that was changed", b"an event that is lost")
    )
    annotated = LogAnnotated(
        log_id=LOG_ID,
        sequence=7,
        subject=render_subject("party", QUILLWORK),
        hash=stored,
        damage="hash",
        effect="passed_over",
        reason="a disk returned other bytes than were written; found by marketplace log verify",
    )
    accepted = LogLossAccepted(
        log_id=LOG_ID,
        expected_sequence=214,
        expected_hash=lost,
        last_sequence=200,
        reason="the newest backup ends here, and the disk is gone",
    )
    teller.tell("2031-01-06T09:00", "operator", annotated)
    teller.tell("2031-01-07T09:00", "operator", accepted)
    missing = LostEvent(subject=render_subject("party", QUILLWORK), hash=lost, known_from="event 215 follows it")
    gap = LogGapAccepted(
        log_id=LOG_ID, sequence=201, lost=(missing,), reason="the disk was full, and no copy of that day exists"
    )
    teller.tell("2031-01-08T09:00", "operator", gap)


def build_samples() -> dict[str, dict[str, object]]:
    """Return the golden samples by tag, in the registry's order."""
    first: dict[str, dict[str, object]] = {}
    for told in tell_story():
        first.setdefault(told.tag, told.sample)
    return {tag: first[tag] for tag in EVENT_TYPES if tag in first}


def _find_compute_price(teller: Teller) -> str:
    return next(
        event.price_usd_per_share
        for _, _, events in teller.commands
        for event in events
        if isinstance(event, InstrumentConverted) and event.instrument_id == COMPUTE_SAFE
    )


def _count_series_a(teller: Teller) -> dict[str, int]:
    shares: dict[str, int] = {}
    for _, _, events in teller.commands:
        for event in events:
            if isinstance(event, IssuerStockIssued) and event.class_id == "series-a":
                shares[event.holder_id] = shares.get(event.holder_id, 0) + event.shares
    return shares
