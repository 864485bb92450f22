"""A bond: what Northfjord sets apart, and what Quillwork claims of it when its evaluation run ends early."""

from decimal import Decimal

from events.account import (
    AccountCredited,
    AccountDebited,
    AccountDeposited,
    AccountHoldCaptured,
    AccountHoldPlaced,
    AccountHoldReleased,
)
from events.bond import BondAnswered, BondClaimed, BondPaid, BondPosted, BondReleased, BondReturned, ClaimItem
from tests.contracts.story.clearing import EVALUATION_GRANT
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import LOT, NORTHFJORD, NORTHFJORD_CASH, QUILLWORK, QUILLWORK_CASH, at
from tests.contracts.story.teller import Teller

BOND, _HOLD, _CLAIM, _PAYMENT = (name(prefix, "a bond") for prefix in ("bnd", "hld", "bcl", "cap"))
_MINE = {"account_id": NORTHFJORD_CASH, "party_id": NORTHFJORD}
_BOND = {"bond_id": BOND, "party_id": NORTHFJORD}


def tell_bonds(teller: Teller) -> None:
    """Post a bond, claim more than it has, concede and pay it, and release what is posted after that."""
    _post(teller, "2031-01-21T09:00", Decimal("400.00"))
    item = ClaimItem(remedy="make_whole", gpu_seconds=720_000, amount_usd=Decimal("500.00"))
    claimed = BondClaimed(
        **_BOND,
        claim_id=_CLAIM,
        startup_id=QUILLWORK,
        startup_account_id=QUILLWORK_CASH,
        grant_id=EVALUATION_GRANT,
        statement_id=None,
        lot_ids=(LOT,),
        items=(item,),
        credited_usd=Decimal("20.00"),
        amount_usd=Decimal("480.00"),
        made_at=at("2031-01-22T09:00"),
        answer_until=at("2031-01-25T09:00"),
    )
    teller.tell("2031-01-22T09:00", QUILLWORK, claimed)
    answered = BondAnswered(
        **_BOND,
        claim_id=_CLAIM,
        startup_id=QUILLWORK,
        outcome="conceded",
        amount_usd=Decimal("480.00"),
        reason="the hall lost its power",
    )
    _pay(teller, "2031-01-23T09:00", answered, Decimal("400.00"), Decimal("80.00"))
    _post(teller, "2031-01-24T09:00", Decimal("100.00"), owed=Decimal("80.00"))
    freed = AccountHoldReleased(**_MINE, hold_id=_HOLD, amount_usd=Decimal("20.00"), reason="the bond stands no more")
    released = BondReleased(**_BOND, lot_id=None, hold_id=_HOLD, amount_usd=Decimal("20.00"))
    teller.tell("2031-02-27T09:00", NORTHFJORD, released, freed)


def tell_return(teller: Teller, when: str) -> None:
    """Return a part of the claim, of which a replacement charged less in the end."""
    payment = {"payment_id": name("cap", "a return"), "amount_usd": Decimal("12.00")}
    returned = BondReturned(
        **_BOND,
        **payment,
        claim_id=_CLAIM,
        startup_id=QUILLWORK,
        grant_id=EVALUATION_GRANT,
        replacement_id=name("grt", "a replacement"),
        payer_account_id=QUILLWORK_CASH,
        payee_account_id=NORTHFJORD_CASH,
    )
    moved = {"amount_usd": payment["amount_usd"], "cause": payment["payment_id"]}
    debited = AccountDebited(account_id=QUILLWORK_CASH, party_id=QUILLWORK, payee_account_id=NORTHFJORD_CASH, **moved)
    credited = AccountCredited(**_MINE, payer_account_id=QUILLWORK_CASH, **moved)
    teller.tell(when, "platform", returned, debited, credited)


def _post(teller: Teller, when: str, amount: Decimal, owed: Decimal | None = None) -> None:
    posted = BondPosted(
        **_BOND,
        account_id=NORTHFJORD_CASH,
        posting_id=name("pst", when),
        lot_id=None,
        hold_id=_HOLD,
        amount_usd=amount,
        stands_until=at("2031-01-26T00:00"),
    )
    deposit = AccountDeposited(**_MINE, amount_usd=amount, reference=f"bond {when}")
    teller.tell(when.replace("T09", "T08"), "platform", deposit)
    held = AccountHoldPlaced(**_MINE, hold_id=_HOLD, amount_usd=amount, purpose=BOND)
    if owed is None:
        teller.tell(when, NORTHFJORD, posted, held)
    else:
        _pay(teller, when, posted, owed, Decimal("0.00"), held)


def _pay(teller: Teller, when: str, first, amount: Decimal, owed: Decimal, *held) -> None:
    payment_id = _PAYMENT if owed else name("cap", "the rest of a bond")
    paid = BondPaid(
        **_BOND,
        claim_id=_CLAIM,
        startup_id=QUILLWORK,
        lot_id=None,
        hold_id=_HOLD,
        grant_id=EVALUATION_GRANT,
        payee_account_id=QUILLWORK_CASH,
        payment_id=payment_id,
        amount_usd=amount,
        owed_usd=owed,
    )
    captured = AccountHoldCaptured(
        **_MINE, hold_id=_HOLD, amount_usd=amount, payee_account_id=QUILLWORK_CASH, cause=payment_id
    )
    credited = AccountCredited(
        account_id=QUILLWORK_CASH,
        party_id=QUILLWORK,
        amount_usd=amount,
        payer_account_id=NORTHFJORD_CASH,
        cause=payment_id,
    )
    teller.tell(when, NORTHFJORD, first, paid, *held, captured, credited)
