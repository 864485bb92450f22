"""Second chapter: five orders, and the money and the budget that is set aside for them."""

from datetime import datetime
from decimal import Decimal

from msgspec.structs import replace

from events.account import AccountHoldPlaced, AccountHoldReleased
from events.mandate import MandateBudgetHeld, MandateBudgetReleased
from events.order import BudgetHold, ClassOffer, OrderAmended, OrderCancelled, OrderExpired, OrderPlaced, OrderTerms
from events.types import SafeTerms
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import LATTICE, LATTICE_CASH, MANDATE, QUILLWORK, QUILLWORK_CASH, TIDEWATER, at
from tests.contracts.story.teller import Teller

LATTICE_ISSUER = name("iss", "Lattice Bio")
QUILLWORK_ISSUER = name("iss", "Quillwork Robotics")
FOLDING = name("ord", "protein folding")
EVALUATION, EVALUATIONS = name("ord", "evaluation run"), "evaluation of March"
SIMULATION = name("ord", "simulation sweep")
FOLDING_HOLD = name("hld", "protein folding, amended")
EVALUATION_HOLD = name("hld", "evaluation run")
SIMULATION_HOLD = name("hld", "simulation sweep")
SAFE = SafeTerms(
    conversion_timing="post_money",
    valuation_cap_usd=Decimal("20000000.00"),
    discount=Decimal("0.20"),
    service_consequence="credit",
)
_GPUS_PER_NODE = 8


def tell_demand(teller: Teller) -> None:
    """Place five orders; one is amended, one cancelled, one expires."""
    _tell_folding(teller)
    for order, hold, when, terms in (
        (
            EVALUATION,
            EVALUATION_HOLD,
            "2026-03-04T10:00",
            replace(order_terms(1, 24, "2026-03-17", "2026-03-17", cash="2.60"), group=EVALUATIONS),
        ),
        (
            SIMULATION,
            SIMULATION_HOLD,
            "2026-03-04T10:05",
            order_terms(13, 96, "2026-03-11", "2026-03-11", cash="2.465"),
        ),
    ):
        place_for_cash(teller, when, order, hold, terms)
    _tell_the_undecided(teller)


def _tell_folding(teller: Teller) -> None:
    first, first_hold = (
        order_terms(4, 168, "2026-03-09", "2026-03-09", cash="1.40", equity="1.50"),
        name("hld", "protein folding"),
    )
    teller.tell(
        "2026-03-04T09:00",
        LATTICE,
        OrderPlaced(
            order_id=FOLDING,
            startup_id=LATTICE,
            issuer_id=LATTICE_ISSUER,
            account_id=LATTICE_CASH,
            hold_id=first_hold,
            terms=first,
            cash_hold_usd=Decimal("7526.40"),
            budget_holds=(_budget_hold("6451.20"),),
        ),
        cash_held(LATTICE_CASH, LATTICE, first_hold, "7526.40", FOLDING),
        _budget_held(first_hold, "6451.20"),
    )
    better = order_terms(4, 168, "2026-03-09", "2026-03-11", cash="1.50", equity="1.50")
    teller.tell(
        "2026-03-04T16:00",
        LATTICE,
        OrderAmended(
            order_id=FOLDING,
            hold_id=FOLDING_HOLD,
            terms=better,
            cash_hold_usd=Decimal("8064.00"),
            budget_holds=(_budget_hold("6451.20"),),
            keeps_priority=True,
        ),
        cash_freed(LATTICE_CASH, LATTICE, first_hold, "7526.40", "order amended"),
        MandateBudgetReleased(
            mandate_id=MANDATE, hold_id=first_hold, amount_usd=Decimal("6451.20"), reason="order amended"
        ),
        cash_held(LATTICE_CASH, LATTICE, FOLDING_HOLD, "8064.00", FOLDING),
        _budget_held(FOLDING_HOLD, "6451.20"),
    )


def _tell_the_undecided(teller: Teller) -> None:
    rehearsal, nightly = name("ord", "rehearsal"), name("ord", "nightly")
    place_for_cash(
        teller,
        "2026-03-04T11:00",
        rehearsal,
        name("hld", "rehearsal"),
        order_terms(2, 24, "2026-03-10", "2026-03-12", cash="2.50"),
    )
    teller.tell(
        "2026-03-04T11:30",
        QUILLWORK,
        OrderCancelled(order_id=rehearsal, reason="the data set is not ready"),
        cash_freed(QUILLWORK_CASH, QUILLWORK, name("hld", "rehearsal"), "960.00", "order cancelled"),
    )
    place_for_cash(
        teller,
        "2026-03-04T12:00",
        nightly,
        name("hld", "nightly"),
        order_terms(1, 24, "2026-03-05", "2026-03-05", cash="2.00"),
    )
    teller.tell(
        "2026-03-05T00:00",
        "timer",
        OrderExpired(order_id=nightly, at=at("2026-03-05T00:00")),
        cash_freed(QUILLWORK_CASH, QUILLWORK, name("hld", "nightly"), "384.00", "order expired"),
    )


def place_for_cash(teller: Teller, when: str, order: str, hold: str, terms: OrderTerms) -> None:
    """Place an order of Quillwork, and hold its cash."""
    offer = terms.offers[0].cash_usd_per_gpu_hour
    amount = f"{offer * terms.nodes * _GPUS_PER_NODE * terms.duration_hours:.2f}"
    teller.tell(
        when,
        QUILLWORK,
        OrderPlaced(
            order_id=order,
            startup_id=QUILLWORK,
            issuer_id=QUILLWORK_ISSUER,
            account_id=QUILLWORK_CASH,
            hold_id=hold,
            terms=terms,
            cash_hold_usd=Decimal(amount),
        ),
        cash_held(QUILLWORK_CASH, QUILLWORK, hold, amount, order),
    )


def order_terms(
    nodes: int,
    hours: int,
    earliest: str,
    latest: str,
    *,
    cash: str,
    equity: str = "0.00",
    mandates: tuple[str, ...] = (MANDATE,),
) -> OrderTerms:
    with_equity = Decimal(equity) > 0
    offer = ClassOffer(
        gpu_class="H100_SXM", cash_usd_per_gpu_hour=Decimal(cash), equity_usd_per_gpu_hour=Decimal(equity)
    )
    return OrderTerms(
        nodes=nodes,
        duration_hours=hours,
        start_earliest=_day(earliest),
        start_latest=_day(latest),
        offers=(offer,),
        regions=("eu-north",),
        interconnect="infiniband",
        mandate_ids=mandates if with_equity else (),
        instrument=SAFE if with_equity else None,
    )


def _day(text: str) -> datetime:
    return at(f"{text}T00:00")


def _budget_hold(amount: str) -> BudgetHold:
    return BudgetHold(
        mandate_id=MANDATE, holder_id=TIDEWATER, equity_credit=Decimal("0.80"), amount_usd=Decimal(amount)
    )


def _budget_held(hold: str, amount: str) -> MandateBudgetHeld:
    return MandateBudgetHeld(
        mandate_id=MANDATE,
        hold_id=hold,
        order_id=FOLDING,
        issuer_id=LATTICE_ISSUER,
        amount_usd=Decimal(amount),
        amount_usd_max=Decimal("40000.00"),
    )


def cash_held(account: str, party: str, hold: str, amount: str, purpose: str) -> AccountHoldPlaced:
    return AccountHoldPlaced(
        account_id=account, party_id=party, hold_id=hold, amount_usd=Decimal(amount), purpose=purpose
    )


def cash_freed(account: str, party: str, hold: str, amount: str, reason: str) -> AccountHoldReleased:
    return AccountHoldReleased(
        account_id=account, party_id=party, hold_id=hold, amount_usd=Decimal(amount), reason=reason
    )
