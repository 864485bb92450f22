"""The auditor finds a grant that promises less than its lots, and a lot that promises less than an order asks for."""

import msgspec
import pytest
from msgspec.structs import replace

from events.grant import GrantSubstituted, ResalePart
from events.order import OrderAmended
from events.schedule import EndTerms
from marketplace.auditor.fees import Fees
from marketplace.auditor.promises import Promises
from marketplace.auditor.stream import Findings, Message
from tests.domain import build
from tests.domain.build import grant_issued, hour, id_of, lot_listed, pool_opened, service_terms, share, usd
from tests.domain.trading.test_order import placed

OTHER = id_of("lot", 2)
TERMS = service_terms(notice_hours_min=24)
POOL = pool_opened(service=TERMS)
BETTER = lot_listed(lot_id=OTHER, service=service_terms(availability_min=usd("0.99"), notice_hours_min=12))
LONG = lot_listed(service=service_terms(notice_hours_min=721))
ASKS = placed(availability_min=usd("0.95"), notice_hours_min=24)
AMENDED = OrderAmended(
    order_id=build.ORDER,
    hold_id=build.HOLD,
    terms=replace(ASKS.terms, notice_hours_min=25),
    cash_hold_usd=usd(192),
)
MIXED = (share(nodes=1), share(nodes=1, lot_id=OTHER))
STRICT = replace(BETTER.service, notice_hours_min=24)
MOVED = GrantSubstituted(
    grant_id=build.GRANT,
    pool_id=build.POOL,
    pool_id_before=build.POOL,
    lots=(share(lot_id=OTHER),),
    at=hour(11),
    reason="cheaper",
)


def audit(*events, part=None):
    part = part or Promises(Findings())
    for number, event in enumerate(events):
        headers = {"ce-type": f"marketplace.{event.__struct_config__.tag}"}
        part.take([Message(number, "marketplace.x.x", headers, msgspec.json.encode(event))])
    return part.findings.kept


@pytest.mark.parametrize(
    ("events", "faults"),
    [
        ((POOL, lot_listed(), ASKS, grant_issued(service=TERMS)), 0),
        ((POOL, lot_listed(), placed(notice_hours_max=23), grant_issued(service=TERMS)), 1),
        ((POOL, LONG, placed(notice_hours_max=721), grant_issued(service=LONG.service)), 0),
        ((POOL, LONG, placed(), grant_issued(service=LONG.service)), 1),
        ((POOL, lot_listed(), BETTER, placed(), grant_issued(lots=MIXED, service=STRICT), MOVED), 0),
        ((POOL, lot_listed(), BETTER, placed(), grant_issued(lots=MIXED, service=TERMS)), 1),
        ((POOL, lot_listed(), BETTER, placed(), grant_issued(lots=MIXED, service=BETTER.service)), 1),
        ((POOL, lot_listed(), BETTER, placed(), grant_issued(lots=MIXED, service=replace(STRICT, credits=()))), 1),
        (
            (
                POOL,
                lot_listed(),
                BETTER,
                placed(),
                grant_issued(lots=MIXED, service=replace(STRICT, measure="incidents")),
            ),
            1,
        ),
        ((POOL, lot_listed(), placed(), grant_issued()), 2),
        ((POOL, lot_listed(), BETTER, ASKS, grant_issued(service=TERMS), MOVED), 1),
        ((POOL, lot_listed(), placed(availability_min=usd("0.96")), grant_issued(service=TERMS)), 1),
        ((POOL, lot_listed(grant_id=id_of("grt", 2)), placed(), grant_issued()), 0),
        ((POOL, lot_listed(grant_id=id_of("grt", 2)), ASKS, grant_issued()), 1),
        (
            (
                POOL,
                lot_listed(),
                placed(),
                AMENDED,
                grant_issued(service=TERMS),
            ),
            1,
        ),
    ],
)
def test_a_promise_below_the_lots_or_the_order_is_found(events, faults):
    assert len(audit(*events)) == faults


DEAL = EndTerms(value_usd_min=usd(1_000), notice_hours_min=168)
SOURCE = grant_issued(ends=DEAL)
RESALE = ResalePart(
    grant_id=build.GRANT,
    lot_id=build.LOT,
    seller_id=SOURCE.startup_id,
    seller_account_id=SOURCE.startup_account_id,
    hold_id=build.HOLD,
    owed_usd_per_gpu_hour=SOURCE.price_usd_per_gpu_hour,
    commitment_usd=usd(0),
)


@pytest.mark.parametrize(("measure", "faults"), [("metered", 0), ("incidents", 1)])
def test_resold_capacity_that_is_measured_otherwise_than_its_sellers_grant_is_a_fault(measure, faults):
    source = grant_issued(service=service_terms(measure="metered"))
    counted = service_terms(availability_min=usd(0), credits=(), measure=measure, notice_hours_min=0)
    sold = grant_issued(grant_id=id_of("grant", 2), resale=RESALE, service=counted)
    assert len(audit(source, sold)) == faults


@pytest.mark.parametrize(
    ("ends", "faults"),
    [
        (DEAL, 0),
        (replace(DEAL, notice_hours_min=167), 1),
        (replace(DEAL, value_usd_min=usd(999)), 1),
        (None, 1),
    ],
)
def test_resold_capacity_on_easier_terms_than_its_sellers_grant_is_a_fault(ends, faults):
    sold = grant_issued(grant_id=id_of("grant", 2), resale=RESALE, ends=ends)
    assert len(audit(SOURCE, sold, part=Fees(Findings()))) == faults
