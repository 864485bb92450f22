"""The auditor counts what warrants vest by, and finds each vesting that its milestones do not bear."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from events.vesting import (
    AmountMilestone,
    DateMilestone,
    DeliveryMilestone,
    PowerMilestone,
    TrancheMilestone,
    WarrantTranche,
)
from marketplace.application.delivery import grants
from marketplace.application.equity import warrants
from marketplace.auditor.milestones import Milestones
from marketplace.auditor.spans import parse_instant, render_instant
from marketplace.auditor.stream import Findings
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.equity.issuer.commands import AddStakeholder
from marketplace.domain.equity.issuer.programme_commands import OpenProgramme
from marketplace.domain.equity.issuer.rights_commands import IssueWarrant
from marketplace.log.memory import MemoryLog
from tests.application.equity.test_equity import act, found
from tests.application.trading.test_related import relate
from tests.application.trading.test_resale import buy, report, resell, settle
from tests.support.market.agreeing import agree_all
from tests.support.market.auditing import read_messages
from tests.support.market.market import Market

pytestmark = pytest.mark.xdist_group("auditor")
_PLAYED = []


@pytest.fixture
async def vested():
    """Return the log of a warrant whose tranches vest by delivery, by payment on a day, and by one another."""
    if not _PLAYED:
        _PLAYED.extend(await play())
    return list(_PLAYED)


async def play(*, is_named=False):
    market = Market(MemoryLog())
    trade = await market.trade(days=10)
    if is_named:
        await relate(market, trade.provider, by=trade.provider, related_id=trade.startup)
    await found(market, trade.startup)
    await act(market, trade.startup, AddStakeholder, holder_id=trade.fund, name="Fund", kind="investor")
    async with market.worker():
        grant = await market.award(trade)
        paid = AmountMilestone(basis="paid", amount_usd=Decimal(1))
        terms = IssueWarrant(
            issuer_id=trade.issuer,
            warrant_id=derive_id("wrt", trade.issuer),
            holder_id=trade.fund,
            class_id="common",
            shares=400,
            exercise_price_usd=Decimal(1),
            expires_at=grant.end + timedelta(days=90),
            settlement="cash",
            tranches=(
                WarrantTranche(shares=100, conditions=((DeliveryMilestone(gpu_seconds=1),),)),
                WarrantTranche(shares=100, conditions=((paid,), (DateMilestone(day=grant.end.date()),))),
                WarrantTranche(shares=100, conditions=((TrancheMilestone(tranche=0),),)),
                WarrantTranche(shares=100, conditions=((PowerMilestone(kilowatts=grant.issued.nodes * 11, hours=1),),)),
            ),
            grant_ids=(grant.issued.grant_id,),
        )
        context = market.context(trade.startup)
        await warrants.issue_warrant(market.handler, context, terms)
        await agree_all(market, context)
        await market.deliver(grant, 10)
        market.clock.at = grant.end + timedelta(days=2)
        await market.until("statement", list_periods(grant)[0].statement_id, "issued")
        market.clock.at = grant.end + timedelta(days=20)
        await market.until("grant", grant.issued.grant_id, "completed")
        assert (await market.state("issuer", trade.issuer)).warrants[terms.warrant_id].vested == frozenset({0, 1, 2, 3})
    return await read_messages(market.log)


async def offer(market, grant, *tranches, **counts):
    """Give a warrant of who pays for a grant to who delivers it, which counts the grant or as told; return its id."""
    context = market.context(grant.issued.startup_id)
    terms = IssueWarrant(
        issuer_id=rename_id("iss", grant.issued.startup_id),
        warrant_id=derive_id("wrt", context.command_id),
        holder_id=grant.issued.provider_id,
        class_id="common",
        shares=sum(each.shares for each in tranches),
        exercise_price_usd=Decimal(1),
        expires_at=grant.end + timedelta(days=90),
        settlement="cash",
        tranches=tranches,
        **{"on_reduction": "keep", "grant_ids": (grant.issued.grant_id,), **counts},
    )
    await warrants.issue_warrant(market.handler, context, terms)
    await agree_all(market, context)
    return terms.warrant_id


def audit(log):
    part, decisions = Milestones(Findings()), {}
    for message in log:
        decisions.setdefault(message.decision, []).append(message)
    for decision in decisions.values():
        part.take(decision)
    return [text for _, _, text in part.findings.kept]


def plant(log, event_type, **fields):
    planted = []
    for one in log:
        body = one.read()
        if one.event_type == event_type:
            body |= {name: value(body) for name, value in fields.items()}
        planted.append(replace(one, body=json.dumps(body).encode()))
    return planted


def demand(number, **milestone):
    """Return the tranches of an issue, of which one needs more."""

    def ask(body):
        tranches = [dict(tranche) for tranche in body["tranches"]]
        tranches[number] = {**tranches[number], "conditions": [[milestone]]}
        return tranches

    return ask


BASES = ("paid", "purchased")
AT_ONCE = DeliveryMilestone(gpu_seconds=1)
ISSUED, VESTED = "issuer.warrant_issued.v1", "issuer.warrant_vested.v1"


@pytest.mark.parametrize(
    ("event_type", "fields", "found_text"),
    [
        (VESTED, {"gpu_seconds": lambda body: body["gpu_seconds"] + 1}, "its grants have"),
        (VESTED, {"paid_usd": lambda body: f"{Decimal(body['paid_usd']) + 1}"}, "its grants have"),
        ("statement.accepted.v1", {"charges": lambda body: {**body["charges"], "gpu_seconds": 1}}, "its grants have"),
        ("grant.issued.v1", {"mark": lambda _: "related"}, "its grants have"),
        (ISSUED, {"tranches": demand(0, kind="delivered", gpu_seconds=10**12)}, "tranche 0"),
        (ISSUED, {"tranches": demand(1, kind="amount", basis="paid", amount_usd="1000000000.00")}, "tranche 1"),
        (ISSUED, {"tranches": demand(1, kind="date", day="2100-01-01")}, "tranche 1"),
        (ISSUED, {"tranches": demand(2, kind="tranche", tranche=2)}, "tranche 2"),
        (ISSUED, {"tranches": demand(2, kind="attested", name="works")}, "tranche 2"),
    ],
)
async def test_a_vesting_that_its_milestones_do_not_bear_is_found(vested, event_type, fields, found_text):
    assert audit(vested) == []
    texts = audit(plant(vested, event_type, **fields))
    assert any(found_text in text for text in texts), texts


async def test_no_seller_keeps_a_grant_out_of_the_warrant_of_another_by_its_word_alone():
    log = await play(is_named=True)
    assert [one.read()["mark"] for one in log if one.event_type == "grant.issued.v1"] == ["named"]
    assert audit(log) == []


async def test_what_a_seller_alone_calls_related_counts_in_the_warrants_of_others_alone(vested):
    named = plant(vested, "grant.issued.v1", mark=lambda _: "named")
    assert audit(named) == []
    [seller_id] = [one.read()["provider_id"] for one in vested if one.event_type == "grant.issued.v1"]
    texts = audit(plant(named, ISSUED, holder_id=lambda _: seller_id))
    assert any("its grants have" in text for text in texts), texts


@pytest.mark.parametrize(("days", "is_late"), [(180, False), (181, True)])
async def test_what_vested_long_ago_is_not_unvested(vested, days, is_late):
    first = next(one for one in vested if one.event_type == VESTED)
    at = parse_instant(first.headers["ce-time"]) + timedelta(days=days)
    headers = {**first.headers, "ce-time": render_instant(at), "ce-type": "issuer.warrant_vesting_reversed.v1"}
    later = replace(first, headers=headers)
    texts = [text for text in audit([*vested, later]) if "is unvested on" in text]
    assert bool(texts) == is_late


async def test_a_milestone_of_power_is_reached_by_what_the_nodes_state_as_their_pool_is_opened(vested):
    def weaken(message):
        if message.event_type != "pool.opened.v1":
            return message
        return replace(message, body=json.dumps({**message.read(), "power_per_node_kw": 10}).encode())

    (text,) = audit([weaken(message) for message in vested])
    assert "'kind': 'power'" in text


async def test_what_the_seller_of_resold_hours_adds_is_no_payment_of_their_buyer():
    """A straw of a vendor bought dear and resold cheap, and what it had paid vested the vendor's warrant."""
    market = Market(MemoryLog())
    async with market.worker():
        trade = await market.trade(days=10, nodes=4, cash="2.5", equity="0")
        grant = await market.award(trade)
        await resell(market, trade, grant, ask="0.5")
        sale = await buy(market, cash="1.5")
        bought = await market.state("grant", (await market.state("order", sale.order)).grant_id)
        await found(market, sale.buyer)
        await act(market, sale.buyer, AddStakeholder, holder_id=trade.provider, name="Vendor", kind="provider")
        amounts = [AmountMilestone(basis=basis, amount_usd=Decimal(usd)) for basis in BASES for usd in (288, 289)]
        tranches = [WarrantTranche(shares=100, conditions=((each,),)) for each in amounts]
        warrant_id = await offer(market, bought, *tranches)
        source = await market.state("grant", grant.issued.grant_id)
        await report(market, bought, [(0, 3, 1)])
        await report(market, source, [(0, 5, 4), (5, 8, 3), (8, 10, 4)])
        await settle(market, bought, source)
        issuer = await market.state("issuer", rename_id("iss", sale.buyer))
        assert issuer.warrants[warrant_id].vested == frozenset({0, 2}), "its buyer paid 288, its seller 864"
    log = await read_messages(market.log)
    assert audit(log) == []
    full = {"charges": lambda body: {**body["charges"], "reseller_pays_usd": "0.00"}}
    assert any("its grants have" in text for text in audit(plant(log, "statement.accepted.v1", **full)))


async def test_a_grant_counts_for_who_pays_for_it_and_not_for_who_uses_it():
    """A customer undid what it had bought, and a vendor's straw bought for another one, by handing the use on."""
    market = Market(MemoryLog())
    trade = await market.trade(days=10)
    user = await market.party("User", "startup")
    await market.issuer(user)
    await found(market, trade.startup)
    await act(market, trade.startup, AddStakeholder, holder_id=trade.provider, name="Vendor", kind="provider")
    programmes = {party: derive_id("prg", party) for party in (trade.startup, user)}
    for party, programme in programmes.items():
        sides = {"customer_ids": (party,), "vendor_ids": (trade.provider,)}
        await act(market, party, OpenProgramme, programme_id=programme, name="Purchases", **sides)
    async with market.worker():
        grant = await market.award(trade)
        grant_id, hours = grant.issued.grant_id, WarrantTranche(shares=100, conditions=((AT_ONCE,),))
        counts = {"grant_ids": (), "programme_id": programmes[trade.startup], "on_reduction": "claw_back"}
        warrant_id = await offer(market, grant, hours, **counts)
        await grants.transfer_grant(market.handler, market.context(trade.startup), grant_id, startup_id=user)

        async def add(party):
            sides = (rename_id("iss", party), programmes[party])
            await warrants.add_programme_grant(market.handler, market.context(trade.provider), *sides, grant_id)

        await add(trade.startup)
        with pytest.raises(Refusal) as caught:
            await add(user)
        assert caught.value.code == "outside_programme"
        await market.deliver(grant, 10)
        await settle(market, grant)
    assert (await market.state("issuer", trade.issuer)).warrants[warrant_id].vested == frozenset({0})
    assert audit(await read_messages(market.log)) == []


async def test_what_a_stranger_to_the_programme_pays_for_counts_in_none_of_its_warrants(vested):
    """A straw of the vendor bought, and handed the use to the vendor's customer."""
    [issued] = [one for one in vested if one.event_type == "grant.issued.v1"]
    body, programme = issued.read(), {"programme_id": "prg_one"}
    opened = programme | {"customer_ids": [body["startup_id"]], "vendor_ids": [body["provider_id"]]}
    added = programme | {"grant_id": body["grant_id"]}

    def name(**sides):
        """Return the log with a programme that counts the grant in place of the warrant."""
        told = plant(vested, ISSUED, programme_id=lambda _: "prg_one", grant_ids=lambda _: [])
        named = [("issuer.programme_opened.v1", opened | sides), ("issuer.programme_grant_added.v1", added)]
        at = next(number for number, one in enumerate(told) if one.event_type == "grant.issued.v1")
        ahead = [
            replace(told[at], headers={**told[at].headers, "ce-type": event_type}, body=json.dumps(each).encode())
            for event_type, each in named
        ]
        return [*told[:at], *ahead, *told[at:]]

    assert audit(name()) == []
    texts = audit(name(customer_ids=["pty_other"]))
    assert any("its grants have" in text for text in texts), texts


async def test_nodes_that_deliver_one_grant_after_another_count_once_as_power(vested):
    [issued] = [one for one in vested if one.event_type == "grant.issued.v1"]
    body = issued.read()
    needed = demand(3, kind="power", kilowatts=2 * body["nodes"] * 11, hours=1)

    def twice(**span):
        """Return the log with a second grant of the same pool that delivers as much."""
        told = plant(vested, ISSUED, tranches=needed, grant_ids=lambda each: [*each["grant_ids"], "grt_two"])
        found = []
        for one in told:
            found.append(one)
            if one.event_type in {"grant.issued.v1", "statement.accepted.v1"}:
                copied = one.read() | {"grant_id": "grt_two"} | (span if one.event_type == "grant.issued.v1" else {})
                found.append(replace(one, body=json.dumps(copied).encode()))
        return found

    assert not any("'kind': 'power'" in text for text in audit(twice()))
    after = {"start": body["end"], "end": "2100-01-01T00:00:00Z"}
    assert any("'kind': 'power'" in text for text in audit(twice(**after)))
