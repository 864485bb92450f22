"""An amendment that only improves an order keeps its place."""

import pytest

from marketplace.domain.trading.priority import keeps_priority
from tests.domain import build
from tests.domain.build import class_offer, hour, id_of, order_terms, usd

BEFORE = order_terms(regions=("us-east",), interconnect="infiniband", standing=False, expires_at=hour(15))


def amended(**changes):
    whole = {"regions": ("us-east",), "interconnect": "infiniband", "standing": False, "expires_at": hour(15)}
    return order_terms(**{**whole, **changes})


MORE = class_offer(cash_usd_per_gpu_hour=class_offer().cash_usd_per_gpu_hour + usd("0.01"))
LESS = class_offer(cash_usd_per_gpu_hour=class_offer().cash_usd_per_gpu_hour - usd("0.01"))
MORE_EQUITY = class_offer(equity_usd_per_gpu_hour=class_offer().equity_usd_per_gpu_hour + usd("0.01"))
LESS_EQUITY = class_offer(equity_usd_per_gpu_hour=class_offer().equity_usd_per_gpu_hour - usd("0.01"))
OTHER = class_offer(gpu_class="A100")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"offers": (MORE,)},
        {"offers": (MORE_EQUITY,)},
        {"offers": (class_offer(), OTHER)},
        {"start_earliest": BEFORE.start_earliest - (hour(1) - hour(0))},
        {"start_latest": hour(500)},
        {"expires_at": hour(16)},
        {"expires_at": None},
        {"regions": ("us-east", "us-west")},
        {"regions": ()},
        {"interconnect": "any"},
        {"mandate_ids": (build.MANDATE, id_of("mnd", 2))},
        {"standing": True},
    ],
    ids=lambda changes: next(iter(changes), "nothing"),
)
def test_keeps_its_place(changes):
    assert keeps_priority(BEFORE, amended(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"offers": (LESS,)},
        {"offers": (LESS_EQUITY,)},
        {"offers": (OTHER,)},
        {"offers": (MORE, OTHER), "nodes": BEFORE.nodes + 1},
        {"nodes": BEFORE.nodes - 1},
        {"nodes": BEFORE.nodes + 1},
        {"duration_hours": BEFORE.duration_hours - 1},
        {"start_earliest": BEFORE.start_earliest + (hour(1) - hour(0))},
        {"start_latest": BEFORE.start_latest - (hour(1) - hour(0))},
        {"expires_at": hour(14)},
        {"regions": ("us-west",)},
        {"interconnect": "ethernet"},
        {"mandate_ids": (id_of("mnd", 2),)},
        {"instrument": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_loses_its_place(changes):
    assert not keeps_priority(BEFORE, amended(**changes))


def test_what_stood_for_further_auctions_has_to_go_on_standing():
    assert not keeps_priority(amended(standing=True), BEFORE)
    assert not keeps_priority(amended(regions=()), BEFORE)
    assert not keeps_priority(amended(expires_at=None), BEFORE)
