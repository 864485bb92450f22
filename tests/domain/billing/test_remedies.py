"""Which orders replace undelivered hours: those that as many sellers could serve as the order of the lost grant."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from msgspec import json
from msgspec.structs import replace

from events.grant import GrantActivated, GrantDegraded, GrantResumed, GrantTerminated
from events.order import ClassOffer, OrderTerms
from events.plain_json import encode_event
from events.schedule import EndTerms, NoticeFee, RemedyTerms
from events.stages import CreditTerms, StageTerms
from marketplace.auditor.replacements import _find_wish
from marketplace.domain.billing.remedies import compute_broken, compute_holder_part, find_ending, find_narrower_wish
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.supply.schedule import STANDARD
from tests.domain import build
from tests.domain.build import hour

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OFFER = ClassOffer(gpu_class="H100_SXM", cash_usd_per_gpu_hour=Decimal(3), equity_usd_per_gpu_hour=Decimal(0))
ASKED = OrderTerms(nodes=4, duration_hours=240, start_earliest=NOW, start_latest=NOW, offers=(OFFER,))
NARROWER = {
    "nodes": 5,
    "gpus_per_node": 4,
    "duration_hours": 241,
    "regions": ("eu-west",),
    "interconnect": "infiniband",
    "provider_reliability_min": Decimal("0.9"),
    "availability_min": Decimal("0.9"),
    "notice_hours_min": 1,
    "notice_hours_max": 72,
    "power_usage_effectiveness_max": Decimal("1.2"),
    "renewable_share_min": Decimal("0.5"),
    "mandate_ids": ("mnd_a",),
    "backstop": True,
    "stages": StageTerms(hours=24, security_hours=24),
    "credit": CreditTerms(provider_id="pty_a", amount_usd=Decimal(1)),
}
FREE = {
    "start_earliest": NOW + timedelta(1),
    "start_latest": NOW + timedelta(2),
    "offers": (replace(OFFER, cash_usd_per_gpu_hour=Decimal(9)),),
    "nodes_min": 1,
    "nodes_step": 3,
    "group": "one",
    "parent_order_id": "ord_a",
    "principal_usd_max": Decimal(1),
    "instrument": None,
    "standing": True,
    "expires_at": NOW,
}
"""What makes no seller unable to serve the order, or only the moment at which it buys."""


@pytest.mark.parametrize(
    ("ends", "days", "owed"),
    [
        (STANDARD.ends, 31, "3840.00"),
        (STANDARD.ends, 0, "3840.00"),
        ([replace(STANDARD.ends[0], fees=())], 31, "3840.00"),
        ([replace(STANDARD.ends[0], remedies=None)], 31, "307.20"),
        ([replace(STANDARD.ends[0], remedies=None)], 0, "1536.00"),
        ([replace(STANDARD.ends[0], fees=(NoticeFee(notice_hours_min=0, share=Decimal("0.3")),))], 31, "4608.00"),
        ([], 31, "0"),
    ],
    ids=["a month ahead", "at the start", "without fees", "fee a month ahead", "fee at once", "dearer fee", "nothing"],
)
def test_breaking_a_match_costs_what_ending_its_grant_would(ends, days, owed):
    """A provider broke a match a month ahead for 2 percent, where the end of the grant costs a quarter."""
    assert compute_broken(ends, Decimal(15_360), timedelta(days=days)) == Decimal(owed)


def find_wishes(asked, asks):
    """Return what the market and the auditor find."""
    read = [json.decode(encode_event(terms)) for terms in (asked, asks)]
    return find_narrower_wish(asked, asks), _find_wish(*read)


def test_every_term_of_an_order_is_known_to_narrow_it_or_not():
    assert {*NARROWER, *FREE} == set(OrderTerms.__struct_fields__)


@pytest.mark.parametrize("name", NARROWER)
def test_an_order_that_fewer_could_serve_replaces_nothing_unless_the_lost_one_asked_so_too(name):
    asks = replace(ASKED, **{name: NARROWER[name]})
    assert find_wishes(ASKED, asks) == (name, name)
    assert find_wishes(asks, asks) == ((name, name) if name == "backstop" else (None, None))
    back = name if name == "gpus_per_node" else None
    assert find_wishes(asks, ASKED) == (back, back), "a wider order replaces it"


@pytest.mark.parametrize("name", FREE)
def test_an_order_may_buy_at_another_time_and_for_more(name):
    assert find_wishes(ASKED, replace(ASKED, **{name: FREE[name]})) == (None, None)


def test_an_order_may_name_more_regions_and_not_fewer():
    one, two = (replace(ASKED, regions=regions) for regions in (("eu-west",), ("eu-west", "us-east")))
    assert find_wishes(one, two) == (None, None)
    assert find_wishes(two, one) == ("regions", "regions")


ENDS = EndTerms(
    value_usd_min=Decimal(0),
    notice_hours_min=0,
    fees=(),
    remedies=RemedyTerms(cure_hours=4, damages_share=Decimal("0.3"), make_whole_share=Decimal("0.25")),
)
MINE = {"grant_id": build.GRANT}


def fail(at, nodes=0, reported=None):
    return GrantDegraded(
        **MINE, nodes_available=nodes, at=hour(at), reported_at=hour(at if reported is None else reported), reason="x"
    )


def resume(at):
    return GrantResumed(**MINE, at=hour(at))


@pytest.mark.parametrize(
    ("told", "since"),
    [
        ([fail(20)], 20),
        ([fail(20, 1), fail(30, 0), fail(40, 2)], 20),
        ([fail(5), resume(10), fail(20)], 20),
        ([fail(18), resume(19.5), fail(20)], 18),
        ([fail(20), resume(49.5)], 20),
        ([fail(20), resume(48)], 50),
    ],
    ids=["one outage", "one after another", "an earlier one", "an hour between", "dated back", "over"],
)
def test_a_replacement_may_be_bought_since_the_nodes_failed_for_which_the_grant_ended_for_cause(told, since):
    issued = build.grant_issued(nodes=4, start=hour(0), end=hour(400), ends=ENDS)
    ended = GrantTerminated(
        **MINE, at=hour(50), by="startup", noticed_at=hour(50), reason="dark", for_cause=True, fee_usd=Decimal(0)
    )
    failed = GRANT.fold([issued, GrantActivated(**MINE, at=hour(0)), *told, ended])
    assert find_ending(failed).since == hour(since)
    announced = GRANT.fold(
        [issued, GrantActivated(**MINE, at=hour(0)), *told, replace(ended, by="provider", for_cause=False)]
    )
    assert find_ending(announced).since == hour(50)


@pytest.mark.parametrize(("mark", "part"), [(None, "66.66"), ("related", "66.66"), ("own_capacity", "0")])
def test_a_holder_gets_its_share_of_the_price_rounded_down_and_nothing_where_the_provider_stands_behind_it(mark, part):
    issued = replace(build.grant_issued(), cash_share="1/3", mark=mark)
    assert issued.equity.holder_account_id is not None
    grant = GRANT.fold((issued,))
    assert compute_holder_part(grant, Decimal(100)) == Decimal(part)
    own = GRANT.fold((replace(issued, equity=replace(issued.equity, holder_account_id=None)),))
    assert compute_holder_part(own, Decimal(100)) == 0
