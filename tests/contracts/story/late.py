"""A run that begins without power: Quillwork takes the first six hours off it, and the cash for them is free."""

from decimal import Decimal

from events.account import AccountDeposited, AccountHoldReleased
from events.grant import GrantActivated, GrantDegraded, GrantRescheduled
from events.lot import LotListed
from events.order import ClassOffer, OrderTerms
from events.pool import PoolCapacityOffered, PoolCapacityReleased, PoolCapacityReserved
from events.types import LotShare
from tests.contracts.story.demand import place_for_cash
from tests.contracts.story.identifiers import name
from tests.contracts.story.limited import limited
from tests.contracts.story.spare import award_spare
from tests.contracts.story.supply import (
    NORTHFJORD,
    QUILLWORK,
    QUILLWORK_CASH,
    SPARE_POOL,
    at,
    drawn,
)
from tests.contracts.story.teller import Teller

_LOT, _ORDER, _HOLD, _GRANT = (name(prefix, "a late run") for prefix in ("lot", "ord", "hld", "grt"))
_START, _LATER, _END = at("2031-05-10T00:00"), at("2031-05-10T06:00"), at("2031-05-12T00:00")
_OFFER = ClassOffer(gpu_class="H100_SXM", cash_usd_per_gpu_hour=Decimal(2), equity_usd_per_gpu_hour=Decimal(0))
_MINE = {"account_id": QUILLWORK_CASH, "party_id": QUILLWORK}
_CASH = Decimal("768.00")


def tell_late(teller: Teller) -> None:
    """Match an order of two days, let it begin dark, and shorten it."""
    span = {"nodes": 1, "start": _START, "end": _END}
    ask = {"ask_usd_per_gpu_hour": Decimal(2)}
    listed = LotListed(lot_id=_LOT, pool_id=SPARE_POOL, provider_id=NORTHFJORD, **ask, **span)
    teller.tell("2031-05-01T09:00", NORTHFJORD, listed, PoolCapacityOffered(pool_id=SPARE_POOL, lot_id=_LOT, **span))
    _match(teller)
    teller.tell("2031-05-10T00:01", "timer", GrantActivated(grant_id=_GRANT, at=_START))
    dark = GrantDegraded(grant_id=_GRANT, nodes_available=0, at=_START, reason="no power", follows_pool=True)
    teller.tell("2031-05-10T00:02", "reactor", dark)
    kept = (LotShare(lot_id=_LOT, nodes=1, start=_LATER, end=_END),)
    reason = "shortened, because its site is late"
    shortened = GrantRescheduled(
        grant_id=_GRANT,
        choice="shortened",
        start_before=_START,
        end_before=_END,
        start=_LATER,
        end=_END,
        lots=kept,
        gpu_seconds_cut=8 * 6 * 3_600,
        cash_commitment_usd=_CASH - 96,
        principal_commitment_usd=Decimal("0.00"),
        budget_commitment_usd=Decimal("0.00"),
        at=at("2031-05-10T05:30"),
        reason=reason,
    )
    teller.tell(
        "2031-05-10T05:30",
        QUILLWORK,
        PoolCapacityReleased(pool_id=SPARE_POOL, grant_id=_GRANT, at=_START),
        PoolCapacityReserved(pool_id=SPARE_POOL, grant_id=_GRANT, nodes=1, start=_LATER, end=_END, lots=kept),
        drawn(SPARE_POOL, _GRANT, *kept),
        shortened,
        *limited(_GRANT, f"usg{_GRANT[3:]}", _END, start=_LATER),
        AccountHoldReleased(**_MINE, hold_id=_HOLD, amount_usd=Decimal("96.00"), reason=reason),
    )


def _match(teller: Teller) -> None:
    deposited = AccountDeposited(**_MINE, amount_usd=_CASH, reference="a late run")
    teller.tell("2031-05-02T09:00", "platform", deposited)
    terms = OrderTerms(nodes=1, duration_hours=48, start_earliest=_START, start_latest=_START, offers=(_OFFER,))
    place_for_cash(teller, "2031-05-02T10:00", _ORDER, _HOLD, terms)
    award_spare(teller, "2031-05-02T12:00", (_LOT, _ORDER, _HOLD, _GRANT), _START, _END, "768.00")
