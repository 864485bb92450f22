"""A staged run: Quillwork sets four days and a security of three aside, pays the rest late, and pays a withheld day."""

from decimal import Decimal

from events.account import (
    AccountCreditCommitted,
    AccountCredited,
    AccountCreditLimited,
    AccountDeposited,
    AccountHoldCaptured,
    AccountHoldPlaced,
)
from events.grant import (
    GrantActivated,
    GrantStageMissed,
    GrantStagePaid,
    GrantWithheld,
    GrantWithholdingEnded,
)
from events.lot import LotListed
from events.order import ClassOffer, OrderPlaced, OrderTerms
from events.pool import PoolCapacityOffered
from events.stages import CreditTerms, StageTerms
from tests.contracts.story.demand import QUILLWORK_ISSUER
from tests.contracts.story.identifiers import name
from tests.contracts.story.spare import award_spare
from tests.contracts.story.supply import (
    NORTHFJORD,
    NORTHFJORD_CASH,
    QUILLWORK,
    QUILLWORK_CASH,
    SPARE_POOL,
    at,
)
from tests.contracts.story.teller import Teller

_LOT, _ORDER, _HOLD, _GRANT = (name(prefix, "a staged run") for prefix in ("lot", "ord", "hld", "grt"))
_START, _END = at("2031-03-10T00:00"), at("2031-03-20T00:00")
_STAGES = StageTerms(hours=96, security_hours=72)
_OFFER = ClassOffer(gpu_class="H100_SXM", cash_usd_per_gpu_hour=Decimal(2), equity_usd_per_gpu_hour=Decimal(0))
_MINE = {"account_id": QUILLWORK_CASH, "party_id": QUILLWORK}


def tell_stages(teller: Teller) -> None:
    """List a lot that accepts stages, match an order of two, miss the second, and pay it after a withheld day.

    After that the provider gives Quillwork credit, and an order takes some.
    """
    span = {"nodes": 1, "start": _START, "end": _END}
    listed = LotListed(
        lot_id=_LOT,
        pool_id=SPARE_POOL,
        provider_id=NORTHFJORD,
        ask_usd_per_gpu_hour=Decimal(2),
        stages=_STAGES,
        **span,
    )
    teller.tell("2031-03-01T09:00", NORTHFJORD, listed, PoolCapacityOffered(pool_id=SPARE_POOL, lot_id=_LOT, **span))
    _match(teller)
    teller.tell("2031-03-10T00:01", "timer", GrantActivated(grant_id=_GRANT, at=_START))
    missing, until = Decimal("1152.00"), at("2031-03-17T00:00")
    missed = GrantStageMissed(grant_id=_GRANT, stage=2, amount_usd=missing, cure_until=until)
    teller.tell("2031-03-14T00:00", "timer", missed)
    teller.tell("2031-03-17T00:00", "timer", GrantWithheld(grant_id=_GRANT, at=until, ends_at=_END))
    _deposit(teller, "2031-03-17T23:00", missing)
    _pay(teller, missing)
    _take_credit(teller)


def _deposit(teller: Teller, when: str, amount: Decimal) -> None:
    teller.tell(when, "platform", AccountDeposited(**_MINE, amount_usd=amount, reference=f"stages {when}"))


def _match(teller: Teller) -> None:
    amount = Decimal("2688.00")
    _deposit(teller, "2031-03-02T09:00", amount)
    terms = OrderTerms(
        nodes=1, duration_hours=240, start_earliest=_START, start_latest=_START, offers=(_OFFER,), stages=_STAGES
    )
    placed = OrderPlaced(
        order_id=_ORDER,
        startup_id=QUILLWORK,
        issuer_id=QUILLWORK_ISSUER,
        account_id=QUILLWORK_CASH,
        hold_id=_HOLD,
        terms=terms,
        cash_hold_usd=amount,
    )
    held = AccountHoldPlaced(**_MINE, hold_id=_HOLD, amount_usd=amount, purpose=_ORDER)
    teller.tell("2031-03-02T10:00", QUILLWORK, placed, held)
    award_spare(teller, "2031-03-02T12:00", (_LOT, _ORDER, _HOLD, _GRANT), _START, _END, "3840.00", stages=_STAGES)


def _pay(teller: Teller, missing: Decimal) -> None:
    since, until, damages = at("2031-03-17T00:00"), at("2031-03-18T00:00"), Decimal("384.00")
    payment_id = name("dmg", "a withheld day")
    ended = GrantWithholdingEnded(
        grant_id=_GRANT,
        since=since,
        at=until,
        gpu_seconds=8 * 86_400,
        damages_usd=damages,
        payment_id=payment_id,
        is_paid=True,
    )
    paid = GrantStagePaid(
        grant_id=_GRANT, stages_paid=2, amount_usd=missing, set_aside_usd=Decimal("3840.00"), at=until
    )
    captured = AccountHoldCaptured(
        **_MINE, hold_id=_HOLD, amount_usd=damages, payee_account_id=NORTHFJORD_CASH, cause=payment_id
    )
    credited = AccountCredited(
        account_id=NORTHFJORD_CASH,
        party_id=NORTHFJORD,
        amount_usd=damages,
        payer_account_id=QUILLWORK_CASH,
        cause=payment_id,
    )
    held = AccountHoldPlaced(**_MINE, hold_id=_HOLD, amount_usd=missing, purpose=_ORDER)
    teller.tell("2031-03-18T00:00", QUILLWORK, ended, paid, captured, credited, held)


def _take_credit(teller: Teller) -> None:
    order_id, hold_id = name("ord", "a run on credit"), name("hld", "a run on credit")
    given = {**_MINE, "provider_id": NORTHFJORD}
    limited = AccountCreditLimited(**given, limit_usd=Decimal("5000.00"))
    teller.tell("2031-03-18T09:00", NORTHFJORD, limited)
    amount, begin = Decimal("3000.00"), at("2031-03-24T00:00")
    terms = OrderTerms(
        nodes=1,
        duration_hours=240,
        start_earliest=begin,
        start_latest=begin,
        offers=(_OFFER,),
        stages=_STAGES,
        credit=CreditTerms(provider_id=NORTHFJORD, amount_usd=amount),
    )
    placed = OrderPlaced(
        order_id=order_id,
        startup_id=QUILLWORK,
        issuer_id=QUILLWORK_ISSUER,
        account_id=QUILLWORK_CASH,
        hold_id=hold_id,
        terms=terms,
        cash_hold_usd=Decimal(0),
    )
    held = AccountHoldPlaced(**_MINE, hold_id=hold_id, amount_usd=Decimal(0), purpose=order_id)
    committed = AccountCreditCommitted(**_MINE, lender_id=NORTHFJORD, hold_id=hold_id, amount_usd=amount)
    teller.tell("2031-03-18T10:00", QUILLWORK, placed, held, committed)
