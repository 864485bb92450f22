"""The auditor finds each fault of a staged grant and of its credit, in a history that is right without the fault."""

import msgspec
import pytest
from msgspec.structs import replace

from events.account import AccountCreditCommitted, AccountCreditLimited, AccountHoldCaptured, AccountHoldPlaced
from events.grant import (
    GrantCompleted,
    GrantStageMissed,
    GrantStagePaid,
    GrantTerminated,
    GrantWithheld,
    GrantWithholdingEnded,
)
from events.stages import StageTerms
from marketplace.auditor.stages import Stages
from marketplace.auditor.stream import Findings, Message
from tests.domain import build
from tests.domain.build import grant_issued, hour, id_of, resale_part, usd

MINE, HELD = {"grant_id": build.GRANT}, {"account_id": build.STARTUP_ACCOUNT, "party_id": build.STARTUP}
PAYMENT = id_of("cmd", 9)
LIMIT = AccountCreditLimited(**HELD, provider_id=build.PROVIDER, limit_usd=usd(1_000))
TAKEN = AccountCreditCommitted(**HELD, lender_id=build.PROVIDER, hold_id=build.HOLD, amount_usd=usd(1_000))
FIRST = AccountHoldPlaced(**HELD, hold_id=build.HOLD, amount_usd=usd("843.20"), purpose=build.ORDER)
"""Two nodes of 8 GPUs at 1.20 dollars of cash for a stage of 24 hours and a security of 72, less the credit."""
GRANT = grant_issued(
    start=hour(0), end=hour(200), stages=StageTerms(hours=24, security_hours=72), credit_usd=usd(1_000)
)
SECOND = replace(FIRST, amount_usd=usd("460.80"))
PAID = GrantStagePaid(**MINE, stages_paid=2, amount_usd=usd("460.80"), set_aside_usd=usd("1304.00"), at=hour(24))
MISSED = GrantStageMissed(**MINE, stage=3, amount_usd=usd("460.80"), cure_until=hour(120))
WITHHELD = GrantWithheld(**MINE, at=hour(120), ends_at=hour(150))
DAMAGES = AccountHoldCaptured(
    **HELD, hold_id=build.HOLD, amount_usd=usd("576.00"), payee_account_id=build.PROVIDER_ACCOUNT, cause=PAYMENT
)
"""All nodes for 30 hours."""
ENDED = GrantWithholdingEnded(
    **MINE,
    since=hour(120),
    at=hour(150),
    gpu_seconds=16 * 30 * 3_600,
    damages_usd=usd("576.00"),
    payment_id=PAYMENT,
    is_paid=False,
)
OVER = GrantTerminated(**MINE, at=hour(150), by="startup", noticed_at=hour(120), reason="a stage was not paid")
COMPLETED = GrantCompleted(**MINE, gpu_seconds_accepted=0)
FREED = replace(TAKEN, amount_usd=usd(0))
HISTORY = (
    (hour(-2), (LIMIT,)),
    (hour(-1), (TAKEN, FIRST)),
    (hour(-1), (GRANT,)),
    (hour(24), (SECOND, PAID)),
    (hour(48), (MISSED,)),
    (hour(120), (WITHHELD,)),
    (hour(150), (DAMAGES, ENDED, OVER)),
    (hour(400), (FREED, COMPLETED)),
)


def audit(**faults):
    """Return what is found in the history with some of its events replaced, by their names here; None: left out."""
    part, planted = Stages(Findings()), {id(globals()[name]): event for name, event in faults.items()}
    for number, (at, events) in enumerate(HISTORY):
        stored = [planted.get(id(event), event) for event in events]
        part.take(
            [
                Message(
                    number,
                    "marketplace.x.x",
                    {"ce-type": f"marketplace.{event.__struct_config__.tag}", "ce-time": at.isoformat()},
                    msgspec.json.encode(event),
                )
                for event in stored
                if event is not None
            ]
        )
    return [text for _, _, text in part.findings.kept]


def test_a_history_in_order_is_right():
    assert audit() == []


@pytest.mark.parametrize(
    ("faults", "found"),
    [
        ({"LIMIT": None}, ["of the credit of"]),
        ({"LIMIT": replace(LIMIT, limit_usd=usd("999.99"))}, ["of the credit of"]),
        ({"LIMIT": replace(LIMIT, provider_id=build.FUND)}, ["of the credit of"]),
        ({"TAKEN": replace(TAKEN, amount_usd=usd("999.99"))}, ["and its hold takes 999.99"]),
        ({"TAKEN": replace(TAKEN, hold_id=id_of("hld", 2))}, ["and its hold takes 0"]),
        ({"GRANT": replace(GRANT, provider_id=build.FUND)}, ["and its hold takes 0"]),
        ({"GRANT": replace(GRANT, resale=resale_part())}, ["buys resold capacity on credit"]),
        ({"COMPLETED": None}, ["before it is over"]),
        ({"FIRST": replace(FIRST, amount_usd=usd("843.00"))}, ["for 1 stages", "for 2 stages"]),
        ({"GRANT": replace(GRANT, credit_usd=usd(900))}, ["for 1 stages", "for 2 stages"]),
        ({"PAID": replace(PAID, set_aside_usd=usd("1304.01"))}, ["for 2 stages"]),
        ({"SECOND": None}, ["for 2 stages"]),
        ({"MISSED": replace(MISSED, stage=4)}, ["misses stage 4"]),
        ({"MISSED": None}, ["in its cure time"]),
        ({"WITHHELD": replace(WITHHELD, at=hour(119))}, ["in its cure time", "was withheld for"]),
        ({"ENDED": replace(ENDED, since=hour(121))}, ["was withheld for"]),
        ({"ENDED": replace(ENDED, gpu_seconds=ENDED.gpu_seconds + 1)}, ["was withheld for"]),
        ({"DAMAGES": replace(DAMAGES, amount_usd=usd("575.99"))}, ["owes 576.00"]),
        ({"OVER": None}, ["goes on although a stage was not paid"]),
        (
            {
                "DAMAGES": replace(DAMAGES, amount_usd=usd("576.03")),
                "ENDED": replace(ENDED, damages_usd=usd("576.03")),
            },
            ["owes 576.03"],
        ),
    ],
)
def test_a_fault_is_found_for_each_rule(faults, found):
    texts = audit(**faults)
    assert len(texts) == len(found), texts
    assert all(part in text for part, text in zip(found, texts, strict=True)), texts
