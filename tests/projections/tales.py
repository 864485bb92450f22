"""Whole stories: one with every event type there is, and one as long as one likes."""

import msgspec

from events import auction, grant, log, order, pool, statement, usage
from events import instrument as ins
from events import lot as lot_events
from events import mandate as mandate_events
from events.auction import Certificate, Decision, Deferral, MatchTerms, Price
from events.book import Book, BookBid, BookLot, BookOrder, BookPool
from events.registry import parse_body
from events.subjects import LOG_ID
from events.types import LotShare, Reason
from marketplace.domain.trading.auction import FrozenBook, Result, split_book, split_result
from tests.contracts.story.book import tell_story
from tests.projections import company, days, lines, market, resales, rights, services
from tests.projections.market import (
    AUCTION,
    FUND,
    ISSUER,
    LOT,
    LOT_B,
    MANDATE,
    POOL,
    POOL_B,
    SAFE,
    START,
    STARTUP,
    STRANGER,
)
from tests.projections.story import ALL_TAGS, DAY, HOUR, Story, make_id, usd

_HASH = "0" * 64


def tell_everything() -> Story:
    """Return a story in which every event type happens."""
    story = Story()
    begin(story)
    days.tell_list_prices(story)
    market.open_auction(story)
    for number in range(1, 9):
        market.place_order(story, number)
    days.tell_phases(story)
    _tell_orders(story)
    _tell_auction(story)
    for number in (1, 2, 3):
        market.issue_grant(story, number)
    market.lose_order(story, 5, again=True)
    market.lose_order(story, 6, again=False)
    story.tell(auction.AuctionCompleted(auction_id=AUCTION, matched=3, unmatched=2))
    _tell_first_grant(story)
    _tell_second_grant(story)
    resales.tell_resale(story)
    _tell_third_grant(story)
    _tell_instruments(story)
    company.finance(story, make_id("ins", 1))
    company.claw_back(story, make_id("ins", 1))
    company.sell(story, make_id("ins", 9))
    rights.tell_rights(story)
    market.tell_a_hold_that_expires(story)
    market.tell_approvals(story)
    days.tell_quotes(story)
    days.tell_closing(story)
    days.tell_meters(story)
    story.tell(lot_events.LotWithdrawn(lot_id=LOT_B, reason="sold elsewhere"))
    story.tell(pool.PoolCapacityRecalled(pool_id=POOL_B, lot_id=LOT_B))
    _tell_asked(story)
    _tell_log(story)
    _tell_bonds(story)
    _tell_late(story)
    _tell_the_rest(story)
    return story


def _tell_the_rest(story: Story) -> None:
    """Tell each type that is missing above as the contract's story tells it, of an aggregate of this one."""
    known: dict[str, str] = {}
    for recorded in story.recorded:
        aggregate, _, identity = recorded.envelope.subject.partition("/")
        known.setdefault(aggregate, identity)
    for tag in sorted(ALL_TAGS - story.tags()):
        aggregate = tag.partition(".")[0]
        told = next(told for told in tell_story() if told.tag == tag)
        names = {f"{aggregate}_id": known[aggregate]} if aggregate in known else {}
        story.tell(msgspec.structs.replace(parse_body(tag, told.body), **names))


def _tell_bonds(story: Story) -> None:
    """Tell the life of a bond as the contract's story tells it."""
    for told in tell_story():
        if told.tag.startswith("bond."):
            story.tell(parse_body(told.tag, told.body))


def _tell_late(story: Story) -> None:
    """Tell of the grant that its startup shortened as the contract's story does."""
    subject = next(told.subject for told in tell_story() if told.tag == "grant.rescheduled.v1")
    for told in tell_story():
        if told.subject == subject:
            story.tell(parse_body(told.tag, told.body))


def _tell_asked(story: Story) -> None:
    """Hold budget that waits for its holder, who approves one order, refuses another one, and revokes the mandate."""
    holds = {name: make_id("hld", 900 + place) for place, name in enumerate(("approved", "refused"))}
    order_ids = {"approved": make_id("ord", 5), "refused": make_id("ord", 6)}
    for name, hold_id in holds.items():
        story.tell(
            mandate_events.MandateBudgetHeld(
                mandate_id=MANDATE,
                hold_id=hold_id,
                order_id=order_ids[name],
                issuer_id=ISSUER,
                amount_usd=usd("10.00"),
                needs_approval=True,
                instrument=SAFE,
            )
        )
    named = {name: {"mandate_id": MANDATE, "hold_id": holds[name], "order_id": order_ids[name]} for name in holds}
    story.tell(mandate_events.MandateOrderApproved(**named["approved"]))
    approved = order.OrderMandateApproved(order_id=order_ids["approved"], mandate_id=MANDATE)
    ended = order.OrderMandateEnded(order_id=order_ids["refused"], mandate_id=MANDATE, reason="its holder refused")
    for told in (approved, ended):
        story.tell(told)
    story.tell(mandate_events.MandateOrderRefused(**named["refused"], amount_usd=usd("10.00"), reason="not this one"))
    ended = mandate_events.EndedHold(hold_id=holds["approved"], order_id=order_ids["approved"], amount_usd=usd("10.00"))
    story.tell(mandate_events.MandateRevoked(mandate_id=MANDATE, reason="fund closed", ended=(ended,)))


def _tell_log(story: Story) -> None:
    damaged = {"subject": "marketplace.order.x", "hash": _HASH, "damage": "headers", "effect": "passed_over"}
    story.tell(log.LogAnnotated(log_id=LOG_ID, sequence=1, **damaged, reason="no event"))
    story.tell(
        log.LogLossAccepted(
            log_id=LOG_ID, expected_sequence=9, expected_hash=_HASH, last_sequence=8, reason="no newer backup"
        )
    )
    story.tell(log.LogGapAccepted(log_id=LOG_ID, sequence=2, lost=(), reason="the disk was full"))


def begin(story: Story) -> None:
    market.tell_parties(story)
    company.form(story)
    market.tell_supply(story)


def tell_many(events_min: int) -> Story:
    """Return a story of at least so many events: one order after the other is matched, delivered and settled."""
    story = Story()
    begin(story)
    market.open_auction(story)
    number = 0
    while len(story.recorded) < events_min:
        number += 1
        market.place_order(story, number)
        story.tell(order.OrderLocked(order_id=make_id("ord", number), auction_id=AUCTION))
        market.issue_grant(story, number)
        story.tell(grant.GrantActivated(grant_id=make_id("grt", number), at=START))
        market.report_usage(story, number)
        market.settle(story, number)
        accepted = market.GPU_SECONDS
        story.tell(grant.GrantCompleted(grant_id=make_id("grt", number), gpu_seconds_accepted=accepted))
    return story


def _tell_orders(story: Story) -> None:
    amended = order.OrderAmended(
        order_id=make_id("ord", 1), hold_id=make_id("hld", 1), terms=market.TERMS, cash_hold_usd=usd("768.00")
    )
    story.tell(amended, actor=STARTUP)
    story.tell(order.OrderCancelled(order_id=make_id("ord", 7), reason="budget"), actor=STARTUP)
    story.tell(order.OrderExpired(order_id=make_id("ord", 8), at=START))
    for number in (1, 2, 3, 5, 6):
        story.tell(order.OrderLocked(order_id=make_id("ord", number), auction_id=AUCTION))


def _tell_auction(story: Story) -> None:
    bids = (BookBid(pool_id=POOL, value_usd_per_gpu_hour=usd("2.5"), mandate_id=MANDATE),)
    orders = tuple(
        BookOrder(
            order_id=make_id("ord", number), nodes=2, duration_periods=24, start_earliest=0, start_latest=0, bids=bids
        )
        for number in (1, 2, 3, 5, 6)
    )
    book = Book(
        period_hours=1,
        periods=336,
        pools=(BookPool(pool_id=POOL, gpus_per_node=8, gpu_class="H100_SXM", region="us-east"),),
        lots=(
            BookLot(lot_id=LOT, pool_id=POOL, nodes=64, from_period=0, to_period=336, ask_usd_per_gpu_hour=usd("1.95")),
        ),
        orders=orders,
    )
    reason = Reason(code="auction_full", text="others were worth more", facts={})
    deferral = Deferral(order_id=make_id("ord", 4), rank=6, value_usd=usd("1.92"), reason=reason)
    story.tell(*split_book(AUCTION, FrozenBook(book=book, book_hash=_HASH), (deferral,)))
    story.tell(auction.AuctionFailed(auction_id=AUCTION, reason="solver stopped", attempt=1))
    prices = (Price(pool_id=POOL, from_period=0, to_period=24, price_usd_per_gpu_hour=usd("2.5")),)
    story.tell(
        *split_result(
            Result(
                auction_id=AUCTION,
                prices=prices,
                decisions=tuple(_decide(number) for number in (1, 2, 3, 5, 6)),
                certificate=Certificate(
                    book_hash=_HASH,
                    engine_version="1",
                    seed=7,
                    iterations=100,
                    welfare_usd=usd("633.60"),
                    lp_bound_usd=usd("640"),
                    gap=usd("0.01"),
                    prices_hash=_HASH,
                    decisions_hash=_HASH,
                ),
            )
        )
    )


def _decide(number: int) -> Decision:
    if number in (5, 6):
        reason = Reason(code="outbid", text="Others offered more.")
        return Decision(order_id=make_id("ord", number), reasons=(reason,), regret_usd=usd(0))
    span = {"start": START, "end": START + 24 * HOUR}
    match = MatchTerms(
        grant_id=make_id("grt", number),
        pool_id=POOL,
        nodes=2,
        **span,
        lots=(LotShare(lot_id=LOT, nodes=2, **span),),
        value_usd_per_gpu_hour=usd("2.5"),
        price_usd_per_gpu_hour="5/2",
        mandate_id=MANDATE,
    )
    return Decision(order_id=make_id("ord", number), match=match, regret_usd=usd(0), total_usd=usd("960"))


def _tell_first_grant(story: Story) -> None:
    """Deliver and settle in full, with a correction and a void on the way."""
    grant_id, usage_id = make_id("grt", 1), make_id("usg", 1)
    story.tell(grant.GrantActivated(grant_id=grant_id, at=START))
    market.report_usage(story, 1)
    before, after = market.make_reading(3), market.make_reading(3, nodes=1)
    meter = {"usage_id": usage_id, "grant_id": grant_id, "source": "dcgm"}
    story.tell(usage.UsageCorrected(**meter, before=before, after=after, reason="late"))
    story.tell(usage.UsageCorrected(**meter, before=after, after=before, reason="wrong correction"))
    story.tell(usage.UsageReported(**meter, readings=(market.make_reading(30),)))
    story.tell(usage.UsageVoided(**meter, reading=market.make_reading(30), reason="double"))
    sample = usage.Sample(device="GPU-1", at=START + HOUR, gpu_utilisation=usd("0.9"), energy_kwh=usd("15.5"))
    story.tell(usage.UsageEvidenced(**meter, samples=(sample,)))
    days.tell_allocations(story)
    ids = {"usage_id": make_id("usg", 9), "party_id": market.PROVIDER, "source": "dcgm", "grant_id": grant_id}
    story.tell(usage.UsageIdentified(**ids, reading_ids=("h0", "h1")))
    market.settle(story, 1)
    story.tell(
        grant.GrantCompleted(grant_id=grant_id, gpu_seconds_accepted=market.GPU_SECONDS),
        usage.UsageClosed(usage_id=usage_id, grant_id=grant_id, gpu_seconds=market.GPU_SECONDS),
    )
    market.credit_nothing(story, 1)


def _tell_second_grant(story: Story) -> None:
    """Fail, move to another pool, dispute, resolve; another startup takes over at the end."""
    grant_id = make_id("grt", 2)
    story.tell(grant.GrantActivated(grant_id=grant_id, at=START))
    story.tell(pool.PoolNodeFailed(pool_id=POOL, incident_id="psu", nodes=2, at=START + HOUR))
    story.tell(grant.GrantDegraded(grant_id=grant_id, nodes_available=1, at=START + HOUR, reason="psu"))
    story.tell(grant.GrantSuspended(grant_id=grant_id, at=START + 2 * HOUR, reason="psu"))
    lots = (LotShare(lot_id=LOT_B, nodes=2, start=START + 3 * HOUR, end=START + 24 * HOUR),)
    story.tell(
        pool.PoolCapacityReleased(pool_id=POOL, grant_id=grant_id, at=START + 3 * HOUR),
        pool.PoolCapacityReserved(
            pool_id=POOL_B, grant_id=grant_id, nodes=2, start=START + 3 * HOUR, end=START + 24 * HOUR, lots=lots
        ),
        grant.GrantSubstituted(
            grant_id=grant_id, pool_id=POOL_B, pool_id_before=POOL, lots=lots, at=START + 3 * HOUR, reason="psu"
        ),
    )
    story.tell(grant.GrantResumed(grant_id=grant_id, at=START + 3 * HOUR))
    story.tell(pool.PoolNodeRestored(pool_id=POOL, incident_id="psu", nodes=2, at=START + 9 * HOUR))
    market.report_usage(story, 2)
    statement_id = {"statement_id": make_id("stm", 2), "grant_id": grant_id}
    market.settle(story, 2)
    story.tell(statement.StatementAgreed(**statement_id, by="holder"))
    for count, reason in ((7200, "slow"), (3600, "idle")):
        claim = {**statement_id, "gpu_seconds_counted": count, "reason": reason}
        story.tell(statement.StatementDisputed(**claim, answer_until=START))
    story.tell(statement.StatementPartSettled(**statement_id, charges=market.CHARGES, part_id=make_id("stm", 4)))
    answer = {**statement_id, "by": "provider", "reason": "no"}
    story.tell(statement.StatementAnswered(**answer, answer_until=START, gpu_seconds_offered=5000))
    story.tell(
        statement.StatementConceded(
            **answer, charges=market.CHARGES, gpu_seconds=6000, gpu_seconds_counted=3600, counted_by="startup"
        )
    )
    story.tell(statement.StatementReferred(**answer, decide_until=START))
    past = {"at": START + 4 * HOUR, "until": START + 5 * HOUR, "reported_at": START + 9 * HOUR}
    story.tell(grant.GrantDegraded(grant_id=grant_id, nodes_available=1, reason="psu", **past))
    resolved = {"charges_before": market.CHARGES, "charges": market.CHARGES, "reason": "logs agree", "by": "platform"}
    story.tell(statement.StatementResolved(**statement_id, **resolved))
    services.tell_service(story, 2)
    lines.tell_lines(story, 2)
    transferred = grant.GrantTransferred(grant_id=grant_id, startup_id=STRANGER, startup_id_before=STARTUP)
    story.tell(transferred, actor=STARTUP)


def _tell_third_grant(story: Story) -> None:
    """End before anything was delivered."""
    ended = grant.GrantTerminated(
        grant_id=make_id("grt", 3), at=START, by="provider", noticed_at=START, reason="site lost power"
    )
    lapsed = ins.InstrumentLapsed(
        instrument_id=make_id("ins", 3), issuer_id=ISSUER, holder_id=FUND, undrawn_usd=usd("288.00"), reason="ended"
    )
    story.tell(ended, lapsed)


TAKER = make_id("pty", 78)


def _tell_instruments(story: Story) -> None:
    """Sign two agreements that are paid at once: one is reversed in part, one cancelled."""
    for number in (9, 10):
        story.tell(
            ins.InstrumentIssued(
                instrument_id=make_id("ins", number),
                issuer_id=ISSUER,
                holder_id=FUND,
                terms=SAFE,
                commitment_usd=usd("250.50"),
                funding="paid_at_once",
            )
        )
    tranche = {"tranche_id": make_id("trn", 9), "issuer_id": ISSUER, "holder_id": FUND}
    paid = {"instrument_id": make_id("ins", 9)}
    story.tell(
        ins.InstrumentPrincipalAccrued(
            **paid, **tranche, principal_usd=usd("250.50"), statement_id=None, terms_version=1, interest_from=DAY
        )
    )
    story.tell(ins.InstrumentPrincipalReversed(**paid, **tranche, principal_usd=usd("58.50"), reason="refund"))
    story.tell(ins.InstrumentSuspended(**paid, reason="audit"))
    story.tell(ins.InstrumentResumed(**paid))
    story.tell(ins.InstrumentAmended(**paid, terms=SAFE, terms_version=2, applies_to_earlier=True))
    moved = {"instrument_id": make_id("ins", 9), "issuer_id": ISSUER, "holder_id": FUND, "holder_id_after": TAKER}
    story.tell(ins.InstrumentTransferred(**moved, principal_usd=usd("192")))
    story.tell(ins.InstrumentCancelled(instrument_id=make_id("ins", 10), reason="not paid", at=story.now))
    fallen = {"issuer_id": ISSUER, "holder_id": FUND, "matures_on": DAY, "principal_usd": usd("1")}
    story.tell(ins.InstrumentMatured(**paid, **fallen, amount_exact="11/10", amount_usd=usd("1.10")))
    later = {**paid, "later_instrument_id": make_id("ins", 10), "terms": SAFE}
    story.tell(ins.InstrumentMfnNoticed(**later, elect_until=story.now + 336 * HOUR), ins.InstrumentMfnElected(**later))
