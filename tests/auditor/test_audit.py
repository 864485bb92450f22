"""The auditor finds nothing in a market's real log, and finds each fault that is planted in it."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
import pytest_asyncio

from events.vesting import AttestedMilestone, WarrantTranche
from marketplace.application.billing import accounts, approvals
from marketplace.application.equity import consents, issuers, warrants
from marketplace.auditor.chain import GUARD, Chains, compute_hash
from marketplace.auditor.report import Audit
from marketplace.auditor.stream import EMPTY, Findings, Message, read_annotations, read_stream
from marketplace.core.ids import rename_id
from marketplace.domain.equity.issuer.commands import AddStakeholder
from marketplace.domain.equity.issuer.rights_commands import IssueWarrant
from marketplace.domain.equity.issuer.stock_commands import CreateStockClass, IssueStock, RepurchaseStock
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.runner import Projector
from marketplace.projections.registry import PROJECTIONS
from tests.chaos.checks import audit_kept, read_line, render_line
from tests.log.test_gaps import accept, holed, opened
from tests.support.market.agreeing import agree_all
from tests.support.market.market import Market

pytestmark = pytest.mark.xdist_group("auditor")
_STORIES: dict[str, list[Message]] = {}


async def _play(log) -> Market:
    """Trade for cash and equity on a mandate, deliver, accept and complete; one order loses and one is cancelled."""
    market = Market(log)
    trade = await market.trade(days=10)
    await _issue_stock(market, trade)
    await _agree(market, trade)
    await _exercise_warrant(market, trade)
    await _withdraw(market, trade)
    loser = await market.order(trade.startup, cash="0.5")
    await market.cancel(trade.startup, await market.order(trade.startup))
    async with market.worker():
        await market.complete(trade, days=10)
        await market.until("order", loser, "unmatched")
    return market


async def _agree(market: Market, trade) -> None:
    """Issue stock to the fund with its agreement, and buy some of it back; the second is refused at first."""
    named = {"issuer_id": trade.issuer, "holder_id": trade.fund, "class_id": "common"}
    holder = AddStakeholder(issuer_id=trade.issuer, holder_id=trade.fund, name="Fund", kind="investor")
    await issuers.act(market.handler, market.context(trade.startup), holder)
    wire = {"amount_usd": Decimal(1_000), "reference": "the fund's wire"}
    await accounts.deposit(market.handler, market.context(), rename_id("acc", trade.fund), **wire)
    price = {"price_usd_per_share": Decimal(1)}
    issue = IssueStock(**named, **price, security_id=rename_id("sec", trade.fund), shares=1_000)
    back = RepurchaseStock(**named, **price, repurchase_id=rename_id("rep", trade.fund), shares=400)
    for deed in (issue, back):
        context = market.context(trade.startup)
        await issuers.act(market.handler, context, deed)
        proposal_id = await consents.find_proposal(market.handler, context)
        await consents.agree(market.handler, market.context(trade.fund), proposal_id)


async def _exercise_warrant(market: Market, trade) -> None:
    """Issue a warrant to the fund, let a party that holds nothing attest its milestone, and let the fund use a part."""
    engineer = await market.party("Engineer", "provider")
    works = AttestedMilestone(name="works", description="it trains", attester_id=engineer)
    context = market.context(trade.startup)
    issue = IssueWarrant(
        issuer_id=trade.issuer,
        warrant_id=rename_id("wrt", trade.fund),
        holder_id=trade.fund,
        class_id="common",
        shares=100,
        exercise_price_usd=Decimal(1),
        expires_at=market.clock.now() + timedelta(days=900),
        settlement="cash",
        tranches=(WarrantTranche(shares=100, conditions=((works,),)),),
    )
    await warrants.issue_warrant(market.handler, context, issue)
    await agree_all(market, context)
    named = {"milestone": "works", "document": "report"}
    attester = market.context(engineer)
    await warrants.attest_milestone(market.handler, attester, trade.issuer, issue.warrant_id, **named)
    await warrants.exercise_warrant(
        market.handler,
        market.context(trade.fund),
        trade.issuer,
        exercise_id=rename_id("exr", trade.fund),
        warrant_id=issue.warrant_id,
        shares=60,
        net=False,
    )


async def _withdraw(market: Market, trade) -> None:
    """Limit the startup's account, withdraw below the limit alone, and above it by two persons."""

    def act_as(person):
        return msgspec.structs.replace(market.context(trade.startup), actor_person=person)

    account_id, asking = rename_id("acc", trade.startup), act_as("p1")
    await approvals.set_limit(market.handler, act_as("p1"), account_id, limit_usd=Decimal(100))
    wire = {"amount_usd": Decimal(500), "reference": "large"}
    await accounts.withdraw(market.handler, asking, account_id, **wire)
    approval_id = await approvals.find_approval(market.handler, asking, account_id)
    await approvals.approve(market.handler, act_as("p2"), account_id, approval_id)
    await accounts.withdraw(market.handler, act_as("p1"), account_id, amount_usd=Decimal(5), reference="small")


async def _issue_stock(market: Market, trade) -> None:
    context, named = market.context(trade.startup), {"issuer_id": trade.issuer, "class_id": "common"}
    await issuers.act(market.handler, context, CreateStockClass(**named, kind="common", shares_authorised=10_000_000))
    holder = AddStakeholder(issuer_id=trade.issuer, holder_id=trade.startup, name="Founders", kind="founder")
    await issuers.act(market.handler, market.context(trade.startup), holder)
    security_id = rename_id("sec", trade.issuer)
    stock = IssueStock(
        **named,
        security_id=security_id,
        holder_id=trade.startup,
        shares=9_000_000,
        price_usd_per_share=Decimal("0.0001"),
    )
    await issuers.act(market.handler, market.context(trade.startup), stock)


async def _read(servers) -> list[Message]:
    messages = read_stream(servers.admin_url)
    return [message async for message in messages]


@pytest_asyncio.fixture
async def story(jetstream_log, nats_server) -> list[Message]:
    """Return the messages of one market; it is played once per worker."""
    if "story" not in _STORIES:
        await _play(jetstream_log)
        _STORIES["story"] = await _read(nats_server)
    return _STORIES["story"]


def _audit(messages) -> Audit:
    audit = Audit()
    for message in messages:
        audit.take(message)
    audit.finish()
    return audit


async def test_nothing_is_found_in_a_market_and_its_tables(jetstream_log, nats_server, database_url):
    await _play(jetstream_log)
    engine = build_engine(database_url)
    await Projector(jetstream_log, engine, PROJECTIONS).catch_up()
    await engine.dispose()
    audit = Audit()
    assert await audit.read(read_stream(nats_server.admin_url)) > 50
    assert await audit.compare(database_url) > 15
    assert audit.findings.kept == []
    assert audit.list_hanging() == []


async def test_a_kept_log_is_read_as_it_was_stored(story, tmp_path):
    kept = [replace(story[0], body=b"\xff"), *story[1:]]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(render_line, kept)))
    assert all(message.stored_at for message in kept)
    assert [*map(read_line, path.read_text().splitlines())] == kept
    path.write_text("\n".join(map(render_line, story)))
    assert audit_kept(path) == []


async def test_a_market_that_runs_meanwhile_is_audited_to_where_its_tables_stand(
    jetstream_log, nats_server, database_url
):
    """Beside a market's writes, the audit found that the tables were ahead of it, and exited with 3."""
    market = await _play(jetstream_log)
    audit = Audit()
    last = await audit.read(read_stream(nats_server.admin_url))
    startup = await market.party("Later", "startup", usd=1_000)
    await market.order(startup, cash="1", nodes=1, days=1)
    engine = build_engine(database_url)
    await Projector(jetstream_log, engine, PROJECTIONS).catch_up()
    await engine.dispose()
    projected = (await _read(nats_server))[-1].sequence
    await market.order(startup, cash="1", nodes=1, days=1)

    def follow(after):
        return read_stream(nats_server.admin_url, after=after)

    assert await audit.compare(database_url, follow) > 15
    assert audit.findings.kept == []
    assert last < audit.chains.last == projected
    behind = _audit(await _read(nats_server))
    await behind.compare(database_url)
    assert {rule for rule, _, _ in behind.findings.kept} == {"position"}


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("UPDATE balances SET amount = amount + 1 WHERE account LIKE '%/available'", "balances"),
        ("UPDATE balances SET amount = -1 WHERE account LIKE '%/delivered'", "capacity"),
        ("DELETE FROM holds", "holds"),
        ("UPDATE orders SET status = 'open'", "orders"),
        ("UPDATE statements SET status = 'disputed'", "statements"),
        ("UPDATE reliability SET gpu_seconds_lost = gpu_seconds_lost + 1", "standing"),
        ("UPDATE projection_positions SET position = position - 1 WHERE name = 'orders'", "projection orders"),
    ],
)
async def test_a_changed_table_is_found(jetstream_log, nats_server, database_url, statement, table):
    await _play(jetstream_log)
    engine = build_engine(database_url)
    await Projector(jetstream_log, engine, PROJECTIONS).catch_up()
    async with engine.begin() as connection:
        await connection.exec_driver_sql(statement)
    await engine.dispose()
    audit = _audit(await _read(nats_server))
    await audit.compare(database_url)
    assert any(table in text for _, _, text in audit.findings.kept)


def _find(messages: list[Message], event_type: str) -> int:
    return next(index for index, message in enumerate(messages) if message.event_type == event_type)


def _change(event_type: str, **fields) -> Callable[[list[Message]], list[Message]]:
    """Return a fault that changes fields of the first event of a type, and seals it anew."""

    def plant(messages):
        index = _find(messages, event_type)
        body = messages[index].read()
        body |= {name: value(body) if callable(value) else value for name, value in fields.items()}
        changed = replace(messages[index], body=json.dumps(body).encode())
        return _relink([*messages[:index], changed, *messages[index + 1 :]])

    return plant


def _accept_unheard(messages):
    """Let a statement wait for its holder, and its startup settle it alone an hour before silence would."""
    waits = _change("statement.issued.v1", holder_accepts=True)(messages)
    issued = waits[_find(waits, "statement.issued.v1")].read()
    early = (datetime.fromisoformat(issued["accept_until"]) - timedelta(hours=1)).isoformat()
    accepted = _find(waits, "statement.accepted.v1")
    headers = {**waits[accepted].headers, "ce-actor": issued["startup_id"], "ce-time": early}
    body = json.dumps(waits[accepted].read() | {"by": "acceptance"}).encode()
    return _relink([*waits[:accepted], replace(waits[accepted], headers=headers, body=body), *waits[accepted + 1 :]])


def _double(event_type: str) -> Callable[[list[Message]], list[Message]]:
    """Return a fault that stores the first event of a type a second time, under an id of its own, at the log's end."""

    def plant(messages):
        again = messages[_find(messages, event_type)]
        headers = {**again.headers, "ce-id": "evt_again", "ce-causationid": "cmd_again"}
        headers = {name: value for name, value in headers.items() if not name.startswith("Nats-Batch")}
        return _relink([*messages, replace(again, sequence=len(messages) + 1, headers=headers)])

    return plant


def _drop(event_type: str) -> Callable[[list[Message]], list[Message]]:
    """Return a fault by which the first event of a type was never stored."""

    def plant(messages):
        index = _find(messages, event_type)
        return _relink(messages[:index] + messages[index + 1 :])

    return plant


def _relink(messages: list[Message]) -> list[Message]:
    """Number, guard, link and seal all messages, so that only their meaning is wrong."""
    heads, relinked = {}, []
    for sequence, message in enumerate(messages, 1):
        before, hash_before = heads.get(message.subject, (0, ""))
        kept = {name: value for name, value in message.headers.items() if not name.startswith(("Nats-", "Market"))}
        headers = {**kept, GUARD: str(before), "ce-previoushash": hash_before}
        if not hash_before:
            del headers["ce-previoushash"]
        sealed = replace(message, sequence=sequence, headers=headers)
        sealed.headers["ce-hash"] = compute_hash(sealed)
        heads[message.subject] = (sequence, sealed.headers["ce-hash"])
        relinked.append(sealed)
    return relinked


def _edit_headers(index: int, **changes) -> Callable[[list[Message]], list[Message]]:
    def plant(messages):
        headers = {**messages[index].headers, **{name.replace("_", "-"): value for name, value in changes.items()}}
        headers = {name: value for name, value in headers.items() if value is not None}
        return [*messages[:index], replace(messages[index], headers=headers), *messages[index + 1 :]]

    return plant


def _without_guard(messages):
    index = next(index for index, message in enumerate(messages) if message.headers.get(GUARD) not in {None, "0"})
    return _edit_headers(index, **{GUARD: None})(messages)


def _stale_guard(messages):
    index = next(index for index, message in enumerate(messages) if message.headers.get(GUARD) not in {None, "0"})
    return _edit_headers(index, **{GUARD: "0"})(messages)


def _elsewhere(messages):
    moved = replace(messages[-1], subject="marketplace.party.pty_elsewhere")
    return [*messages[:-1], replace(moved, headers={**moved.headers, "ce-hash": compute_hash(moved)})]


def _uncommitted(messages):
    index = next(index for index, message in enumerate(messages) if "Nats-Batch-Commit" in message.headers)
    return _edit_headers(index, **{"Nats-Batch-Commit": None})(messages)


def _fork(messages):
    index = next(index for index, message in enumerate(messages) if message.headers.get("ce-previoushash"))
    forked = replace(messages[index], headers={**messages[index].headers, "ce-previoushash": "0" * 64})
    forked = replace(forked, headers={**forked.headers, "ce-hash": compute_hash(forked)})
    return [*messages[:index], forked, *messages[index + 1 :]]


def _reuse_id(messages):
    again = replace(messages[1], headers={**messages[1].headers, "ce-id": messages[0].headers["ce-id"]})
    return _relink([messages[0], again, *messages[2:]])


def _alone(event_type: str, **fields) -> Callable[[list[Message]], list[Message]]:
    """Return a fault by which the first event of a type was stored by its company alone, without a proposal."""

    def plant(messages):
        stored = messages[_find(messages, event_type)]
        company = next(one.read()["party_id"] for one in messages if one.event_type == "issuer.formed.v1")
        body = json.dumps(stored.read() | fields).encode()
        alone = replace(stored, body=body, headers={**stored.headers, "ce-actor": company})
        kept = [one for one in messages if one.decision != stored.decision]
        return _relink([*kept, alone])

    return plant


def _reduce_unasked(messages):
    """Let a credit reduce the principal of a holder that accepts statements itself, without a proposal."""

    def accepts(body):
        return {**body["equity"], "holder_accepts": True} if body.get("equity") else None

    waits = _change("grant.issued.v1", equity=accepts)(messages)
    accrued = waits[_find(waits, "instrument.principal_accrued.v1")]
    body = accrued.read() | {"principal_usd": "0.01", "reason": "credit stm_x", "became": "outstanding"}
    headers = {**accrued.headers, "ce-type": accrued.headers["ce-type"].replace("accrued", "reversed")}
    return _relink([*waits, replace(accrued, headers=headers, body=json.dumps(body).encode())])


OTHERS = {"electorate": "class/seed", "right": "sale", "voters": [{"party_id": "pty_x", "weight": 1}]}
WAITS = [[{"kind": "date", "day": "2100-01-01"}]]
FAULTS = {
    "a message is gone": (lambda messages: messages[:5] + messages[6:], "position"),
    "a body was changed": (
        lambda messages: [replace(messages[0], body=messages[0].body + b" "), *messages[1:]],
        "hash",
    ),
    "two events on one head": (_fork, "chain"),
    "an event without a guard": (_without_guard, "guard"),
    "an event with a stale guard": (_stale_guard, "guard"),
    "an event under another subject": (_elsewhere, "subject"),
    "an id twice": (_reuse_id, "event_id"),
    "half of a batch": (_uncommitted, "batch"),
    "a hold expires twice": (_double("account.hold_released.v1"), "hold"),
    "a payment is credited twice": (_double("account.credited.v1"), "payment"),
    "a payment is never credited": (_drop("account.credited.v1"), "payment"),
    "a deposit counts twice": (_double("account.deposited.v1"), "reference"),
    "more is held than there is": (_change("account.hold_placed.v1", amount_usd="99999999.00"), "available"),
    "more budget is held than there is": (_change("mandate.budget_held.v1", amount_usd="99999999.00"), "budget"),
    "nodes are reserved twice": (_double("pool.capacity_reserved.v1"), "capacity"),
    "more nodes are reserved than there are": (
        _change("pool.capacity_reserved.v1", lots=lambda body: [{**share, "nodes": 99} for share in body["lots"]]),
        "capacity",
    ),
    "a site draws more than is live": (_change("site.registered.v1", power_energised_kw=11), "power"),
    "an order is matched twice": (_double("order.matched.v1"), "order"),
    "an order is decided twice": (_double("order.matched.v1"), "decision"),
    "an order is forgotten": (_drop("order.unmatched.v1"), "decision"),
    "an auction is cleared twice": (_double("auction.cleared.v1"), "auction"),
    "a grant is issued twice": (_double("grant.issued.v1"), "grant"),
    "a grant pays above its offer": (_change("grant.issued.v1", price_usd_per_gpu_hour="99/1"), "price"),
    "more is charged than was granted": (_change("grant.issued.v1", nodes=1), "delivered"),
    "a statement is accepted twice": (_double("statement.accepted.v1"), "statement"),
    "a statement settles before its holder is heard": (_accept_unheard, "statement"),
    "charges do not add up": (
        _change("statement.issued.v1", charges=lambda body: {**body["charges"], "provider_usd": "1.00"}),
        "charges",
    ),
    "the platform's fee is not charged": (
        _change(
            "grant.issued.v1",
            platform_fee={"account_id": "acc_x", "provider_share": "0.05", "startup_share": "0.02"},
        ),
        "fee",
    ),
    "principal accrues twice": (_double("instrument.principal_accrued.v1"), "principal"),
    "principal accrues above its commitment": (
        _change("instrument.issued.v1", commitment_usd="0.01"),
        "principal",
    ),
    "stock is bought back without an agreement": (_drop("proposal.agreed.v1"), "consent"),
    "a proposal takes effect twice": (_double("proposal.carried_out.v1"), "consent"),
    "a credit takes principal without its holder": (_reduce_unasked, "reduction"),
    "a party takes another's stock alone": (_alone("issuer.stock_repurchased.v1"), "consent"),
    "a party takes another's stock by a right that nobody exercised": (
        _alone("issuer.stock_repurchased.v1", cause="ins_made_up"),
        "consent",
    ),
    "more is bought back than was agreed to": (_change("issuer.stock_repurchased.v1", shares=401), "consent"),
    "a proposal takes effect too late": (_change("proposal.made.v1", decide_until="2020-01-01T00:00:00Z"), "consent"),
    "an electorate is asked and does not agree": (
        _change("proposal.made.v1", consents=lambda body: [*body["consents"], OTHERS]),
        "consent",
    ),
    "a proposal that was never made": (_drop("proposal.made.v1"), "consent"),
    "a warrant is exercised that had not vested": (_drop("issuer.warrant_vested.v1"), "vesting"),
    "more is exercised than had vested": (_change("issuer.warrant_vested.v1", shares=59), "vesting"),
    "a tranche is exercised before its conditions hold": (
        _change(
            "issuer.warrant_issued.v1",
            tranches=lambda body: [{**body["tranches"][0], "exercise_conditions": WAITS}],
        ),
        "vesting",
    ),
    "a milestone is attested by its beneficiary": (
        _change("issuer.milestone_attested.v1", attester_id="pty_x"),
        "vesting",
    ),
    "a person approves what it asked for": (_change("account.approval_given.v1", person="p1"), "persons"),
    "a withdrawal above the limit by one person": (_drop("account.approval_given.v1"), "persons"),
    "more is withdrawn than two agreed to": (_change("account.withdrawn.v1", amount_usd="500.01"), "persons"),
    "an approval comes too late": (
        _change("account.approval_requested.v1", approve_until="2020-01-01T00:00:00Z"),
        "persons",
    ),
    "what one person let go is not counted": (_drop("account.limit_used.v1"), "persons"),
    "one payment comes in on two accounts": (_change("account.deposited.v1", reference="The Fund's WIRE"), "reference"),
    "a deposit that two persons would record, and did not": (_change("account.deposited.v1", alone_at=None), "persons"),
    "one person lets more go than the limit": (_change("account.limit_used.v1", amount_usd="100.01"), "persons"),
    "budget is committed that its holder has not approved": (
        _change("mandate.budget_held.v1", needs_approval=True),
        "budget",
    ),
    "shares below zero": (
        _change("issuer.stock_issued.v1", shares=-5),
        "shares",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
async def test_a_planted_fault_is_found(story, name):
    assert _audit(_relink(story)).findings.kept == [] == _audit(story).findings.kept
    plant, rule = FAULTS[name]
    findings = _audit(plant(story)).findings
    assert rule in findings.counts, findings.kept


async def test_what_hangs_is_named(story):
    completed = _find(story, "auction.completed.v1")
    hanging = _audit(_relink(story[:completed])).list_hanging()
    assert any(text.endswith("is cleared") for text in hanging)
    released = _drop("account.hold_released.v1")(story)
    assert any("hold" in text for text in _audit(released).list_hanging())


async def test_what_an_operator_annotated_is_no_finding_and_has_no_effect(story):
    """A deposit that came twice: once it is annotated as passed over, sums and chains hold without it."""
    doubled = _double("account.deposited.v1")(story)
    assert _audit(doubled).findings.counts
    body = {"type": "log.annotated.v1", "sequence": len(doubled), "effect": "passed_over"}
    annotation = replace(
        doubled[-1], headers={"ce-type": "marketplace.log.annotated.v1"}, body=json.dumps(body).encode()
    )
    audit = Audit()

    async def stream():
        for message in doubled:
            yield message

    await audit.read(stream(), [annotation])
    assert audit.findings.kept == []
    assert audit.chains.annotated == {len(doubled): "passed_over"}


def _empty(story, sequence: int) -> list[Message]:
    """Return a story whose message at a position was never there."""
    return [message for message in story if message.sequence != sequence]


async def _audit_with(messages, *acts: tuple[int, list[object]]) -> Audit:
    """Audit messages beside the operator's acts by which positions are accepted as empty."""

    async def stream():
        for message in messages:
            yield message

    headers, audit = {"ce-type": "marketplace.log.gap_accepted.v1"}, Audit()
    bodies = [{"type": "log.gap_accepted.v1", "sequence": sequence, "lost": lost} for sequence, lost in acts]
    await audit.read(stream(), [Message(0, "marketplace.log.x", headers, json.dumps(body).encode()) for body in bodies])
    return audit


def _find_followed(story) -> int:
    """Return the sequence of an event that another one of its subject follows."""
    return next(one.sequence for one in story[5:] if any(two.subject == one.subject for two in story[one.sequence :]))


async def test_a_gap_that_nobody_accepted_is_found_and_one_that_was_is_not(story):
    relinked = _relink(story)
    last = [*relinked, Message(len(relinked) + 1, EMPTY, {}, b"")]
    for messages in (last, [*last, replace(_relink([*story, story[-1]])[-1], sequence=len(last) + 1)]):
        found = (await _audit_with(messages)).findings.kept
        assert (
            "position",
            len(last),
            "the position is empty, and no operator accepted that: an event may be lost",
        ) in found
        accepted = await _audit_with(messages, (len(last), []))
        assert not [rule for rule, _, _ in accepted.findings.kept if rule in {"position", "lost"}]
        assert accepted.chains.empty == [len(last)]


async def test_wherever_a_position_is_empty_the_auditor_says_so_and_goes_on(story):
    for message in story:
        findings = (await _audit_with(_empty(story, message.sequence))).findings
        trailing = message.sequence == len(story)
        assert trailing or ("position", message.sequence) in [found[:2] for found in findings.kept]


@pytest.mark.parametrize("accepted", [False, True])
async def test_an_event_that_is_lost_at_a_gap_is_named_whether_the_gap_is_accepted_or_not(story, accepted):
    relinked = _relink(story)
    sequence = _find_followed(relinked)
    acts = [(sequence, [])] if accepted else []
    findings = (await _audit_with(_empty(relinked, sequence), *acts)).findings
    assert ("position" in findings.counts) is not accepted
    named = [text for rule, at, text in findings.kept if (rule, at) == ("lost", sequence)]
    assert len(named) == 1
    assert relinked[sequence - 1].subject in named[0]
    assert "is lost" in named[0]


async def test_a_batch_of_which_a_part_is_at_a_gap_is_found(story):
    place = next(one for one in story if one.headers.get("Nats-Batch-Sequence") == "2")
    findings = (await _audit_with(_empty(story, place.sequence), (place.sequence, []))).findings
    assert "batch" in findings.counts


async def test_the_raw_stream_tells_of_its_empty_positions(tmp_path):
    async with holed(tmp_path / "nats", 1, 3, 7, 8) as (servers, _):
        found = [message async for message in read_stream(servers.admin_url)]
        assert [message.sequence for message in found] == [2, 4, 5, 6, 7, 8]
        assert [message.sequence for message in found if message.subject == EMPTY] == [7, 8]
        async with opened(servers.url) as log:
            for sequence in (1, 3):
                await accept(log, sequence, event_is_lost=True)
        acts = [message.read() for message in await read_annotations(servers.admin_url)]
        chains = Chains(Findings(), accepted={act["sequence"]: len(act["lost"]) for act in acts})
        async for message in read_stream(servers.admin_url):
            chains.take(message)
        assert chains.accepted == {1: 1, 3: 1}
        assert chains.empty == [1, 3, 7, 8]
        assert [at for rule, at, _ in chains.findings.kept if rule == "position"] == [7, 8]


async def test_the_second_match_of_a_group_is_found(story):
    placed = _find(story, "order.placed.v1")
    terms = story[placed].read()["terms"] | {"group": "one of these"}
    again = _find(story[placed + 1 :], "order.placed.v1") + placed + 1
    messages = list(story)
    for index in (placed, again):
        body = messages[index].read() | {"terms": terms}
        messages[index] = replace(messages[index], body=json.dumps(body).encode())
    matched = _find(messages, "order.matched.v1")
    order_id = messages[again].read()["order_id"]
    body = messages[matched].read() | {"order_id": order_id}
    second = replace(messages[matched], subject=f"marketplace.order.{order_id}", body=json.dumps(body).encode())
    findings = _audit(_relink([*messages, second])).findings
    assert "group" in findings.counts
