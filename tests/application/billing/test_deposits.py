"""Deposits: one payment counts once in the whole log, and above a limit two persons of the platform record it."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec import structs

from marketplace.application.billing import accounts, approvals
from marketplace.application.billing.payment_provider import Confirmation
from marketplace.application.supply.schedules import publish_schedule
from marketplace.auditor.persons import Persons
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.domain.supply.schedule import STANDARD
from tests.support.market.auditing import find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def deposit(market, party_id, usd, reference, person=""):
    context = structs.replace(market.context(), actor_person=person)
    account_id = rename_id("acc", party_id)
    await accounts.deposit(market.handler, context, account_id, amount_usd=Decimal(usd), reference=reference)
    return await approvals.find_approval(market.handler, context, account_id)


async def approve(market, party_id, approval_id, person, by=None):
    context = structs.replace(market.context(by), actor_person=person)
    await approvals.approve(market.handler, context, rename_id("acc", party_id), approval_id)


async def refused(action):
    with pytest.raises(Refusal) as caught:
        await action
    return caught.value.code


async def read_available(market, *party_ids):
    return [(await market.account(party_id)).available_usd for party_id in party_ids]


@pytest.mark.parametrize("reference", ["FED 20260101-7", "fed20260101/7 "])
async def test_one_wire_counts_for_one_account_however_it_is_written(market, reference):
    one, two = await market.party("One", "startup"), await market.party("Two", "startup")
    await deposit(market, one, 500, "FED 20260101-7")
    assert await refused(deposit(market, two, 500, reference)) == "reference_exists"
    assert await read_available(market, one, two) == [500, 0]
    assert await refused(deposit(market, two, 500, " - ")) == "reference_empty"
    await deposit(market, one, 500, "FED 20260101-7")
    assert await read_available(market, one) == [500], "the same deposit again changes nothing"
    if reference != "FED 20260101-7":
        assert await refused(deposit(market, one, 500, reference)) == "reference_exists"


async def test_two_processes_that_record_one_wire_at_once_record_it_once(market):
    parties = [await market.party(name, "startup") for name in ("One", "Two")]
    others = [market.process(f"process {number}") for number in range(2)]
    for turn in range(20):
        wire = f"wire {turn}"
        sent = zip(others, parties, strict=True)
        answers = await asyncio.gather(
            *(deposit(process, party_id, 5, wire) for process, party_id in sent), return_exceptions=True
        )
        assert sorted(getattr(answer, "code", "done") for answer in answers) == ["done", "reference_exists"]
    assert sum(await read_available(market, *parties)) == 100
    await check_log(market.log)


async def set_account_limit(market, party_id):
    context = structs.replace(market.context(party_id), actor_person="p1")
    await approvals.set_limit(market.handler, context, rename_id("acc", party_id), limit_usd=Decimal(1_000))


async def set_platform_limit(market, _):
    terms = structs.replace(STANDARD, deposit_alone_usd=Decimal(1_000))
    await publish_schedule(market.handler, market.context(), terms=terms)


async def test_many_small_deposits_to_many_accounts_over_days_are_one_large_one(market):
    parties = [await market.party(name, "startup") for name in ("One", "Two", "Three")]
    await set_platform_limit(market, None)
    for number, party_id in enumerate(parties[:2]):
        assert await deposit(market, party_id, 400, f"w {number}", "clerk") is None
        market.clock.at += timedelta(days=2)
    assert await deposit(market, parties[1], 400, "w 1", "clerk") is None, "the same deposit again counts once"
    assert await deposit(market, parties[2], 201, "w 3", "clerk") is not None
    assert await deposit(market, parties[2], 200, "w 4", "clerk") is None
    assert await deposit(market, parties[2], 900, "w 5", "head") is None, "another person has a limit of its own"
    market.clock.at += timedelta(days=4)
    assert await deposit(market, parties[0], 400, "w 6", "clerk") is None, "the first one is a week old"
    assert await deposit(market, parties[0], 1, "w 7", "clerk") is not None
    await check_log(market.log)
    assert await find_faults(Persons, market.log) == []
    assert await find_faults(Persons, market.log, drop="schedule.deposit_counted.v1") != []


async def test_deposits_of_two_processes_at_once_count_together(market):
    parties = [await market.party(name, "startup") for name in ("One", "Two")]
    await set_platform_limit(market, None)
    others = [market.process(f"process {number}") for number in range(2)]
    sent = zip(others, parties, strict=True)
    asked = await asyncio.gather(*(deposit(process, party_id, 600, party_id, "clerk") for process, party_id in sent))
    assert sorted(each is None for each in asked) == [False, True]
    assert sum(await read_available(market, *parties)) == 600


@pytest.mark.parametrize("limit", [set_account_limit, set_platform_limit])
async def test_above_a_limit_two_persons_of_the_platform_record_a_deposit(market, limit):
    fund, mule = await market.party("Fund", "fund"), await market.party("Mule", "startup")
    await limit(market, fund)
    assert await deposit(market, fund, 600, "w 1", "clerk") is None
    assert await refused(deposit(market, fund, 600, "w 2")) == "person_missing"
    approval_id = await deposit(market, fund, 600, "w 2", "clerk")
    assert approval_id is not None, "with the 600 of before it is above 1,000"
    assert await read_available(market, fund) == [600]
    assert await refused(deposit(market, fund, 600, "w 2", "clerk")) == "reference_exists"
    assert await refused(approve(market, fund, approval_id, "clerk")) == "person_same"
    assert await refused(approve(market, fund, approval_id, "p1", by=fund)) == "platform_only"
    assert await refused(approve(market, mule, approval_id, "head")) == "payer_only"
    await approve(market, fund, approval_id, "head")
    assert await read_available(market, fund) == [1_200]
    assert await refused(deposit(market, mule, 600, "w 2", "clerk")) == "reference_exists"
    late = await deposit(market, fund, 700, "w 3", "clerk")
    await deposit(market, mule, 5, "w 3", "clerk")
    assert await refused(approve(market, fund, late, "head")) == "reference_exists"
    context = market.context(key="refused")
    await approvals.refuse_approval(
        market.handler, context, rename_id("acc", fund), late, reason="it was another's money"
    )
    assert await read_available(market, fund, mule) == [1_200, 5]
    await check_log(market.log)


class Bank:
    """A payment provider that keeps what it was asked to do."""

    name = "bank"

    def __init__(self):
        self.asked = []

    async def confirm(self, _, transfer):
        self.asked.append(transfer.reference)
        return Confirmation(provider=self.name, booked_at=None)

    confirm_deposit = confirm_withdrawal = confirm


async def test_a_payment_provider_is_asked_only_for_what_the_account_allows(market):
    party_id, bank = await market.party("Startup", "startup", usd=100), Bank()
    account_id = rename_id("acc", party_id)

    async def move(act, usd, reference, if_match=None, by=party_id, **more):
        money = {"amount_usd": Decimal(usd), "reference": reference, "provider": bank, **more}
        await act(market.handler, market.context(by, if_match=if_match), account_id, **money)

    assert await refused(move(accounts.withdraw, 101, "w 1")) == "funds_insufficient"
    assert await refused(move(accounts.withdraw, 9, "w 2", if_match=1)) == "version_stale"
    assert await refused(move(accounts.deposit, 9, "w 3", if_match=1, by=None)) == "version_stale"
    for act in (accounts.withdraw, accounts.deposit):
        assert await refused(move(act, 9, "w", by=None, booked_at=market.day(9))) == "booked_in_future"
    assert bank.asked == []
    await move(accounts.withdraw, 60, "w 4")
    await move(accounts.deposit, 5, "w 5", by=None)
    assert (bank.asked, await read_available(market, party_id)) == (["w 4", "w 5"], [45])
