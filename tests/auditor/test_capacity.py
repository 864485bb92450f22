"""The auditor finds power that a site may not sell, in code of its own."""

from decimal import Decimal

import msgspec
import pytest
from msgspec.structs import replace

from events.auction import AuctionBookFrozen, AuctionCompleted, AuctionLocked, AuctionOpened
from events.book import BookLot
from events.grant import GrantExtended, GrantSubstituted
from events.pool import PoolCapacityOffered, PoolCapacityReleased, PoolCapacityReserved, PoolClosingAnnounced
from marketplace.auditor.capacity import Capacity
from marketplace.auditor.spans import render_instant
from marketplace.auditor.stream import Findings, Message
from tests.domain import build
from tests.domain.build import hour
from tests.domain.supply.test_site import ENERGISED, LESS, SCHEDULED, SLIPPED

TO_CONVERT = build.site_registered(status="converting", power_energised_kw=0)
PLANNED = build.site_registered(status="planned", power_energised_kw=0)
POOL = build.pool_opened(nodes=400, power_per_node_kw=10)
OFFERED = PoolCapacityOffered(pool_id=build.POOL, lot_id=build.LOT, nodes=400, start=hour(0), end=hour(900))


def take(power_kw, start, end):
    """Take nodes that draw so much power."""
    share = build.share(nodes=power_kw // 10, start=hour(start), end=hour(end))
    return PoolCapacityReserved(
        pool_id=build.POOL,
        grant_id=build.GRANT,
        nodes=power_kw // 10,
        start=hour(start),
        end=hour(end),
        lots=(share,),
    )


TAKEN, LATE = take(600, 10, 20), take(600, 10, 120)


@pytest.mark.parametrize(
    ("events", "taken", "found"),
    [
        ((PLANNED,), take(1_000, 10, 20), 0),
        ((PLANNED,), take(1_010, 10, 20), 1),
        ((TO_CONVERT,), take(10, 10, 20), 1),
        ((TO_CONVERT, SCHEDULED), take(1_000, 100, 120), 0),
        ((TO_CONVERT, SCHEDULED), take(1_010, 100, 120), 1),
        ((TO_CONVERT, SCHEDULED), take(10, 99, 120), 1),
        ((TO_CONVERT, SCHEDULED, SLIPPED), take(10, 100, 220), 1),
        ((TO_CONVERT, SCHEDULED, SLIPPED), take(1_000, 200, 220), 0),
        ((TO_CONVERT, SCHEDULED, ENERGISED), take(610, 100, 120), 1),
        ((TO_CONVERT, SCHEDULED, ENERGISED), take(600, 10, 120), 0),
        ((TO_CONVERT, SCHEDULED, ENERGISED, LESS), take(300, 10, 15), 0),
        ((TO_CONVERT, SCHEDULED, ENERGISED, LESS), take(300, 10, 16), 1),
    ],
)
def test_power_that_a_site_may_not_sell_is_found(events, taken, found):
    part = Capacity(Findings())
    for number, event in enumerate((*events, POOL, OFFERED, taken)):
        headers = {"ce-type": f"marketplace.{event.__struct_config__.tag}"}
        part.take([Message(number, "marketplace.site.x", headers, msgspec.json.encode(event))])
    assert [rule for rule, _, _ in part.findings.kept] == ["power"] * found


def test_what_was_taken_before_a_derating_may_stay():
    part = Capacity(Findings())
    more = replace(take(10, 15, 20), grant_id=build.id_of("grt", 2))
    for number, event in enumerate((TO_CONVERT, SCHEDULED, ENERGISED, POOL, OFFERED, take(600, 10, 20), LESS, more)):
        headers = {"ce-type": f"marketplace.{event.__struct_config__.tag}"}
        part.take([Message(number, "marketplace.site.x", headers, msgspec.json.encode(event))])
    assert [(rule, at) for rule, at, _ in part.findings.kept] == [("power", 7)]


@pytest.mark.parametrize(
    ("events", "last", "actor", "found"),
    [
        ((ENERGISED, TAKEN, LESS), replace(ENERGISED, at=hour(15.5)), "pty_1", 1),
        ((ENERGISED, TAKEN, LESS), replace(ENERGISED, at=hour(15.5)), "worker:reactor", 0),
        ((ENERGISED, TAKEN, LESS), replace(ENERGISED, at=hour(17)), "pty_1", 0),
        ((ENERGISED, replace(LESS, at=hour(2))), replace(ENERGISED, at=hour(3)), "pty_1", 0),
        ((SCHEDULED, LATE), replace(SLIPPED, ready_at_before=hour(100), ready_at=hour(12)), "pty_1", 1),
        ((SCHEDULED, LATE), replace(SLIPPED, ready_at_before=hour(100), ready_at=hour(17)), "pty_1", 0),
    ],
)
def test_power_of_dark_nodes_that_a_provider_dates_back_is_found(events, last, actor, found):
    part = Capacity(Findings())
    for number, event in enumerate((TO_CONVERT, POOL, *events, last)):
        headers = {"ce-type": f"marketplace.{event.__struct_config__.tag}", "ce-time": hour(18).isoformat()}
        headers["ce-actor"] = actor if event is last else "worker:reactor"
        part.take([Message(number, "marketplace.site.x", headers, msgspec.json.encode(event))])
    assert [text for rule, _, text in part.findings.kept if "dated back" in text] == [
        f"power of {build.SITE}, which nodes lacked, is dated back to {render_instant(at)}"
        for at in [getattr(last, "at", None) or last.ready_at] * found
    ]


OPENED = AuctionOpened(
    auction_id=build.AUCTION,
    locks_at=hour(8),
    no_cancel_at=hour(6),
    horizon_start=hour(9),
    period_hours=1,
    periods=24,
    seed=1,
)
BOOK_LOT = BookLot(
    lot_id=build.LOT, pool_id=build.POOL, nodes=4, from_period=0, to_period=9, ask_usd_per_gpu_hour=Decimal(2)
)
PART = AuctionBookFrozen(auction_id=build.AUCTION, part=0, period_hours=1, lots=(BOOK_LOT,))
LOCKED = AuctionLocked(auction_id=build.AUCTION, book_hash="", period_hours=1, periods=24, parts=1, orders=0)
COMPLETED = AuctionCompleted(auction_id=build.AUCTION, matched=0, unmatched=0)
SHARES = (build.share(nodes=1, start=hour(10), end=hour(20)),)
MOVED = GrantSubstituted(
    grant_id=build.GRANT,
    pool_id=build.POOL,
    pool_id_before=build.id_of("pol", 2),
    lots=SHARES,
    at=hour(7),
    reason="a fire",
)
LONGER = GrantExtended(
    grant_id=build.GRANT,
    statement_id=build.STATEMENT,
    start=hour(10),
    end=hour(20),
    lots=SHARES,
    gpu_seconds=8 * 36_000,
)


@pytest.mark.parametrize("taking", [MOVED, LONGER])
@pytest.mark.parametrize(
    ("events", "at", "found"),
    [
        ((OPENED,), 5, 0),
        ((OPENED,), 6, 1),
        ((replace(OPENED, no_cancel_at=None),), 7, 0),
        ((replace(OPENED, no_cancel_at=None),), 8, 1),
        ((replace(OPENED, horizon_start=hour(900)),), 7, 0),
        ((OPENED, PART, LOCKED), 9, 1),
        ((OPENED, replace(PART, lots=()), LOCKED), 9, 0),
        ((OPENED, PART, LOCKED, COMPLETED), 9, 0),
    ],
)
def test_a_grant_that_takes_nodes_of_a_frozen_lot_is_found(events, at, found, taking):
    part = Capacity(Findings())
    for number, event in enumerate((PLANNED, POOL, OFFERED, *events, taking)):
        headers = {"ce-type": f"marketplace.{event.__struct_config__.tag}", "ce-time": hour(at).isoformat()}
        part.take([Message(number, "marketplace.site.x", headers, msgspec.json.encode(event))])
    assert [rule for rule, _, _ in part.findings.kept] == ["frozen"] * found


def close(closes_at, announced_at):
    return PoolClosingAnnounced(
        pool_id=build.POOL, announced_at=hour(announced_at), closes_at=hour(closes_at), reason="the lease ends"
    )


FREED = PoolCapacityReleased(pool_id=build.POOL, grant_id=build.GRANT, at=hour(90))
LONG = take(600, 10, 101)


@pytest.mark.parametrize(
    ("events", "put_off_at", "found"),
    [
        ((LONG,), 76, 0),
        ((LONG,), 76.01, 1),
        ((LONG,), 101, 1),
        ((LONG, FREED), 99, 0),
        ((take(600, 10, 100),), 99, 0),
        ((), 101, 0),
    ],
)
def test_a_closing_that_ends_grants_and_is_put_off_late_is_found(events, put_off_at, found):
    part = Capacity(Findings())
    for number, event in enumerate((PLANNED, POOL, OFFERED, *events, close(100, 1), close(200, put_off_at))):
        headers = {"ce-type": f"marketplace.{event.__struct_config__.tag}"}
        part.take([Message(number, "marketplace.pool.x", headers, msgspec.json.encode(event))])
    assert [(rule, at) for rule, at, _ in part.findings.kept] == [("closing", 4 + len(events))] * found
