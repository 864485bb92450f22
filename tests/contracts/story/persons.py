"""Two persons, roles, and mandates that ask: what one alone may not do, in the last chapter."""

from decimal import Decimal

from events.account import (
    AccountApprovalEnded,
    AccountApprovalGiven,
    AccountApprovalRequested,
    AccountDeposited,
    AccountHoldPlaced,
    AccountHoldReleased,
    AccountLimitSet,
    AccountLimitUsed,
    AccountReserved,
    AccountWithdrawn,
    WithdrawalAct,
)
from events.mandate import (
    EndedHold,
    MandateBudgetHeld,
    MandateGranted,
    MandateOrderApproved,
    MandateOrderRefused,
    MandateRevoked,
    MandateTerms,
)
from events.order import BudgetHold, OrderCancelled, OrderMandateApproved, OrderMandateEnded, OrderPlaced
from events.party import PartyRoleAdded, PartyRoleRequested, PartyRoleRequestEnded, PartyStageRecorded
from tests.contracts.story.demand import QUILLWORK_ISSUER, SAFE, cash_held, order_terms
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import (
    LATTICE,
    NORTHFJORD,
    PLATFORM,
    QUILLWORK,
    QUILLWORK_CASH,
    TIDEWATER,
    TIDEWATER_CASH,
    at,
)
from tests.contracts.story.teller import Teller

_SWEEP, _SWEEP_HOLD = name("ord", "a large sweep"), name("hld", "a large sweep")
_ASKED = (name("mnd", "Northfjord capacity"), name("mnd", "Northfjord spare capacity"))
_MINE = {"account_id": TIDEWATER_CASH, "party_id": TIDEWATER}


def tell_persons(teller: Teller) -> None:
    """Withdraw below and above a limit, alone and by two; ask for roles, and record a stage."""
    deposit = AccountDeposited(**_MINE, amount_usd=Decimal("90000.00"), reference="wire 2031-01-11")
    teller.tell("2031-01-11T09:00", PLATFORM, deposit)
    teller.tell("2031-01-11T10:00", TIDEWATER, AccountLimitSet(**_MINE, limit_usd=Decimal("10000.00")))
    teller.tell(
        "2031-01-12T09:00",
        TIDEWATER,
        AccountLimitUsed(**_MINE, amount_usd=Decimal("4000.00"), at=at("2031-01-12T09:00")),
        AccountWithdrawn(**_MINE, amount_usd=Decimal("4000.00"), reference="rent 2031-01"),
    )
    kept = AccountReserved(
        **_MINE, amount_usd=Decimal("120.00"), until=at("2031-03-13T09:00"), cause=name("stm", "a credit to come")
    )
    teller.tell("2031-01-12T10:00", PLATFORM, kept)
    _ask(teller, "approved", "2031-01-13", Decimal("60000.00"))
    approval_id, hold_id = name("apv", "approved"), name("hld", "approved")
    reason = "a second person approved"
    teller.tell(
        "2031-01-13T10:00",
        TIDEWATER,
        AccountApprovalGiven(**_MINE, approval_id=approval_id, person="partner-2"),
        AccountHoldReleased(**_MINE, hold_id=hold_id, amount_usd=Decimal("60000.00"), reason=reason),
        AccountWithdrawn(**_MINE, amount_usd=Decimal("60000.00"), reference="payout approved"),
    )
    _ask(teller, "refused", "2031-01-14", Decimal("20000.00"))
    approval_id, hold_id, reason = name("apv", "refused"), name("hld", "refused"), "nobody knows the payee"
    ended = AccountApprovalEnded(**_MINE, approval_id=approval_id, outcome="refused", reason=reason, person="partner-2")
    freed = AccountHoldReleased(**_MINE, hold_id=hold_id, amount_usd=Decimal("20000.00"), reason=reason)
    teller.tell("2031-01-14T10:00", TIDEWATER, ended, freed)
    _tell_roles(teller)
    _tell_approvals(teller)


def _ask(teller: Teller, which: str, day: str, amount: Decimal) -> None:
    approval_id, hold_id = name("apv", which), name("hld", which)
    until = at(f"{day[:-2]}{int(day[-2:]) + 3:02}T09:00")
    act = WithdrawalAct(amount_usd=amount, reference=f"payout {which}")
    teller.tell(
        f"{day}T09:00",
        TIDEWATER,
        AccountApprovalRequested(
            **_MINE, approval_id=approval_id, act=act, person="partner-1", hold_id=hold_id, approve_until=until
        ),
        AccountHoldPlaced(**_MINE, hold_id=hold_id, amount_usd=amount, purpose=approval_id),
    )


def _tell_roles(teller: Teller) -> None:
    reason = "it bought GPUs of its own"
    for when, party in (("2031-01-15T09:00", LATTICE), ("2031-01-15T10:00", QUILLWORK)):
        teller.tell(when, party, PartyRoleRequested(party_id=party, role="provider", reason=reason))
    added = PartyRoleAdded(party_id=LATTICE, role="provider", reason="its site was visited")
    teller.tell("2031-01-16T09:00", PLATFORM, added)
    ended = PartyRoleRequestEnded(party_id=QUILLWORK, role="provider", outcome="refused", reason="it has no site")
    teller.tell("2031-01-16T10:00", PLATFORM, ended)
    teller.tell("2031-01-16T11:00", PLATFORM, PartyStageRecorded(party_id=LATTICE, stage="series_a"))


def _tell_approvals(teller: Teller) -> None:
    """Place an order that two mandates must approve; one does and is revoked, the other refuses."""
    order_id, hold_id, (first, second) = _SWEEP, _SWEEP_HOLD, _ASKED
    amount = Decimal("5120.00")
    for mandate_id in _ASKED:
        terms = MandateTerms(
            instrument_kinds=("safe",),
            equity_credit=Decimal("0.8"),
            budget_usd=Decimal("20000.00"),
            issuer_usd_max=Decimal("20000.00"),
            approval_above_usd=Decimal("5000.00"),
        )
        granted = MandateGranted(mandate_id=mandate_id, holder_id=NORTHFJORD, funding="own_capacity", terms=terms)
        teller.tell("2031-01-17T09:00", NORTHFJORD, granted)
    _place(teller, amount)
    teller.tell(
        "2031-01-19T09:00",
        NORTHFJORD,
        MandateOrderApproved(mandate_id=first, hold_id=hold_id, order_id=order_id),
        OrderMandateApproved(order_id=order_id, mandate_id=first),
    )
    refused = MandateOrderRefused(
        mandate_id=second, hold_id=hold_id, order_id=order_id, amount_usd=amount, reason="one is enough"
    )
    teller.tell("2031-01-19T10:00", NORTHFJORD, refused)
    reason = f"the holder of mandate {second} refused the order"
    teller.tell("2031-01-19T10:01", "timer", OrderMandateEnded(order_id=order_id, mandate_id=second, reason=reason))
    ended = (EndedHold(hold_id=hold_id, order_id=order_id, amount_usd=amount),)
    teller.tell(
        "2031-01-20T09:00", NORTHFJORD, MandateRevoked(mandate_id=first, reason="the hall is full", ended=ended)
    )
    reason = f"mandate {first} was revoked"
    teller.tell(
        "2031-01-20T09:01",
        "timer",
        OrderMandateEnded(order_id=order_id, mandate_id=first, reason=reason),
        OrderCancelled(order_id=order_id, reason=f"no mandate pays its equity part any more: {reason}"),
    )


def _place(teller: Teller, amount: Decimal) -> None:
    until = at("2031-02-01T09:00")
    teller.tell(
        "2031-01-18T09:00",
        QUILLWORK,
        *(
            MandateBudgetHeld(
                mandate_id=mandate_id,
                hold_id=_SWEEP_HOLD,
                order_id=_SWEEP,
                issuer_id=QUILLWORK_ISSUER,
                amount_usd=amount,
                sector="robotics",
                needs_approval=True,
                instrument=SAFE,
                until=until,
            )
            for mandate_id in _ASKED
        ),
        cash_held(QUILLWORK_CASH, QUILLWORK, _SWEEP_HOLD, "0.00", _SWEEP),
        OrderPlaced(
            order_id=_SWEEP,
            startup_id=QUILLWORK,
            issuer_id=QUILLWORK_ISSUER,
            account_id=QUILLWORK_CASH,
            hold_id=_SWEEP_HOLD,
            terms=order_terms(4, 100, "2031-04-01", "2031-04-10", cash="0.00", equity="2.00", mandates=_ASKED),
            cash_hold_usd=Decimal("0.00"),
            budget_holds=tuple(
                BudgetHold(
                    mandate_id=mandate_id,
                    holder_id=NORTHFJORD,
                    equity_credit=Decimal("0.8"),
                    amount_usd=amount,
                    needs_approval=True,
                    until=until,
                )
                for mandate_id in _ASKED
            ),
        ),
    )
