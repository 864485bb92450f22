"""Service lines through their whole life: agreed on, worked, stated, settled, adjusted, and closed with their grant."""

from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec import structs

from events.service_line import HoursReading
from marketplace.application.access import parties
from marketplace.application.billing import accounts, service_hours, service_lines, service_statements, statements
from marketplace.application.billing.approvals import set_limit
from marketplace.application.delivery import grants
from marketplace.application.metering import usage
from marketplace.auditor.lines import Lines
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.money import parse_ratio, round_cents
from marketplace.domain.billing.service_line_bill import list_service_periods
from marketplace.domain.billing.statement_chain import name_adjustment
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.execution.handler import Handler
from marketplace.log.memory import MemoryLog
from tests.support.market.auditing import find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

SHEET = "sheets/engineering"


class Work:
    """A grant of forty days, half in equity, and a service line of it."""

    def __init__(self, market, trade, grant):
        self.market, self.trade, self.grant = market, trade, grant
        self.grant_id = grant.issued.grant_id
        self.line_id = ""

    def me(self, name):
        return self.market.context(getattr(self.trade, name))

    async def propose(self, hours="20", price="180"):
        receipt = await service_lines.propose_service_line(
            self.market.handler,
            self.me("provider"),
            self.grant_id,
            name="optimisation work",
            price_usd_per_hour=Decimal(price),
            hours=Decimal(hours),
            workers=2,
        )
        self.line_id = receipt.id
        return receipt.id

    async def agree(self, **terms):
        await self.propose(**terms)
        await service_lines.approve_service_line(self.market.handler, self.me("fund"), self.line_id)
        await service_lines.agree_service_line(self.market.handler, self.me("startup"), self.line_id)
        return await self.line()

    async def line(self):
        return await self.market.state("service_line", self.line_id)

    def reading(self, day, hours, reading_id=None):
        end = self.grant.issued.start + timedelta(days=day)
        name = reading_id or f"day-{day}"
        return HoursReading(reading_id=name, start=end - timedelta(hours=9), end=end, hours=Decimal(hours))

    async def report(self, *readings, source=SHEET):
        _, answers = await service_hours.report_hours(
            self.market.handler, self.me("provider"), self.line_id, source=source, readings=readings
        )
        return [answer.code or answer.outcome for answer in answers]

    async def periods(self):
        grant = await self.market.state("grant", self.grant_id)
        return list(list_service_periods(grant, await self.line()).values())

    async def pass_period(self, number):
        """Let a period pass, and wait for its statement."""
        period = (await self.periods())[number]
        self.market.clock.at = period.end + timedelta(hours=25)
        return await self.market.until("statement", period.statement_id, "issued")

    async def accept(self, statement_id):
        await statements.accept_statement(self.market.handler, self.me("startup"), statement_id)
        return await self.market.state("statement", statement_id)

    async def end(self):
        """Let everything run out."""
        for period in await self.periods():
            self.market.clock.at = max(self.market.clock.at, period.end + timedelta(hours=25))
            await self.market.until("statement", period.statement_id, "issued", "accepted")
        self.market.clock.at += timedelta(days=8)
        return await self.market.until("grant", self.grant_id, "completed")

    async def principal(self):
        instrument = await self.market.state("instrument", rename_id("ins", self.line_id))
        return instrument.principal_usd


@pytest.fixture
async def work():
    market = Market(MemoryLog())
    trade = await market.trade()
    async with market.worker():
        grant = await market.award(trade)
        market.clock.at = grant.issued.start
        yield Work(market, trade, grant)


async def test_what_all_hours_cost_is_set_aside_in_the_shares_of_the_grant(work):
    before = await work.market.account(work.trade.startup)
    line = await work.agree()
    issued, agreed = work.grant.issued, line.agreed
    cash = round_cents(3600 * parse_ratio(issued.cash_share))
    assert agreed.cash_commitment_usd == cash
    assert agreed.equity.budget_commitment_usd == Decimal("3600.00") - cash
    after = await work.market.account(work.trade.startup)
    assert before.available_usd - after.available_usd == cash == after.holds[agreed.hold_id].left_usd
    mandate = await work.market.state("mandate", work.trade.mandate)
    assert mandate.holds[agreed.hold_id].committed_usd == agreed.equity.budget_commitment_usd
    instrument = await work.market.state("instrument", agreed.equity.instrument_id)
    assert instrument.commitment_usd == agreed.equity.principal_commitment_usd > 0
    assert (await work.market.state("grant", work.grant_id)).service_lines == (work.line_id,)
    await check_log(work.market.log)


async def test_an_accepted_statement_pays_the_provider_and_accrues_principal_once(work):
    line = await work.agree()
    work.market.clock.at += timedelta(days=5)
    assert await work.report(work.reading(2, "3.25"), work.reading(3, "4")) == ["accepted", "accepted"]
    assert await work.report(work.reading(2, "3.25"), work.reading(3, "5")) == ["duplicate", "reading_exists"]
    stated = await work.pass_period(0)
    assert stated.issued.service_line_id == work.line_id
    assert (stated.charges.service_hours, stated.charges.gpu_seconds) == (Decimal("7.25"), 0)
    assert stated.charges.provider_usd == Decimal("1305.00")
    before = await work.market.account(work.trade.provider)
    settled = await work.accept(stated.issued.statement_id)
    with pytest.raises(Refusal, match="is accepted"):
        await work.accept(stated.issued.statement_id)
    after = await work.market.account(work.trade.provider)
    assert after.available_usd - before.available_usd == Decimal("1305.00")
    assert await work.principal() == settled.charges.principal_usd > 0
    await work.end()
    closed = await work.line()
    assert (closed.status, closed.hours) == ("closed", Decimal("7.25"))
    startup = await work.market.account(work.trade.startup)
    assert startup.holds[line.agreed.hold_id].left_usd == 0
    instrument = await work.market.state("instrument", line.agreed.equity.instrument_id)
    assert (instrument.status, instrument.principal_usd) == ("lapsed", settled.charges.principal_usd)
    mandate = await work.market.state("mandate", work.trade.mandate)
    assert mandate.holds[line.agreed.hold_id].total_usd == settled.charges.holder_usd
    await check_log(work.market.log)


async def test_late_hours_are_charged_and_those_that_are_taken_back_credited(work):
    await work.agree()
    work.market.clock.at += timedelta(days=5)
    await work.report(work.reading(2, "3.3333"))
    stated = await work.pass_period(0)
    first = await work.accept(stated.issued.statement_id)
    await work.report(work.reading(4, "2"))
    late_id = name_adjustment(stated.issued.statement_id, 0)
    late = await work.market.until("statement", late_id, "issued")
    assert (late.issued.adjustment.hours_before, late.issued.adjustment.hours_after) == (
        Decimal("3.3333"),
        Decimal("5.3333"),
    )
    second = await work.accept(late_id)
    assert first.charges.provider_usd + second.charges.provider_usd == round_cents(Decimal("5.3333") * 180)
    await service_hours.void_hours(
        work.market.handler, work.me("provider"), work.line_id, source=SHEET, reading_id="day-2", reason="a slip"
    )
    credit = await work.market.until("statement", name_adjustment(stated.issued.statement_id, 1), "accepted")
    assert credit.sign == -1
    assert credit.charges.service_hours == Decimal("3.3333")
    assert await work.market.state("statement", stated.issued.statement_id) == first
    provider = await work.market.account(work.trade.provider)
    assert provider.available_usd == Decimal("360.00")
    total = first.charges.principal_usd + second.charges.principal_usd - credit.charges.principal_usd
    assert await work.principal() == total
    await work.end()
    await check_log(work.market.log)
    assert await find_faults(Lines, work.market.log) == []
    found = await find_faults(Lines, work.market.log, workers=0)
    assert any("hours of" in text for *_, text in found), found


async def test_a_repeated_report_is_answered_as_the_first_time(work):
    await work.agree()
    work.market.clock.at = work.grant.issued.start + timedelta(days=5)
    provider, line_id = work.me("provider"), work.line_id
    readings = (work.reading(2, "15"), work.reading(3, "15"))

    async def report():
        handler = work.market.handler
        _, answers = await service_hours.report_hours(handler, provider, line_id, source=SHEET, readings=readings)
        return [answer.code or answer.outcome for answer in answers]

    assert await report() == ["accepted", "hours_above_agreement"]
    void = {"source": SHEET, "reading_id": "day-2", "reason": "another line"}
    await service_hours.void_hours(work.market.handler, work.me("provider"), line_id, **void)
    assert await report() == ["accepted", "hours_above_agreement"]
    assert (await work.line()).hours == 0
    assert await work.report(readings[1]) == ["accepted"]


async def test_hours_are_lowered_after_the_grant_was_settled_and_paid_back(work):
    line = await work.agree()
    work.market.clock.at += timedelta(days=5)
    await work.report(work.reading(2, "4"))
    await work.end()
    period = (await work.periods())[0]
    less = work.reading(2, "1")
    await service_hours.correct_hours(
        work.market.handler, work.me("provider"), work.line_id, source=SHEET, reading=less, reason="a slip"
    )
    credit = await work.market.until("statement", name_adjustment(period.statement_id, 0), "accepted")
    assert credit.charges.service_hours == 3
    mandate = await work.market.state("mandate", work.trade.mandate)
    paid = (await work.market.state("statement", period.statement_id)).charges.holder_usd - credit.charges.holder_usd
    assert mandate.holds[line.agreed.hold_id].total_usd == paid
    await check_log(work.market.log)


async def test_a_credit_of_hours_keeps_what_the_provider_receives_until_it_is_paid(work):
    await work.agree()
    market, account_id = work.market, rename_id("acc", work.trade.provider)
    market.clock.at += timedelta(days=5)
    await work.report(work.reading(2, "9"))
    await work.accept((await work.pass_period(0)).issued.statement_id)
    await market.withdraw_free(work.trade.provider)
    await service_hours.void_hours(
        market.handler, work.me("provider"), work.line_id, source=SHEET, reading_id="day-2", reason="a slip"
    )
    with pytest.raises(Refusal) as refused:
        await service_statements.adjust_service_statement(market.handler, market.context(), work.line_id, 0)
    assert refused.value.code == "funds_insufficient"
    owed = Decimal(refused.value.facts["needed_usd"])
    await accounts.deposit(market.handler, market.context(), account_id, amount_usd=owed / 2, reference="in")
    with pytest.raises(Refusal, match="covers corrections"):
        await accounts.withdraw(market.handler, work.me("provider"), account_id, amount_usd=owed / 2, reference="out 2")


async def test_a_dispute_is_in_hours_and_the_provider_concedes_what_is_claimed(work):
    await work.agree()
    work.market.clock.at += timedelta(days=5)
    await work.report(work.reading(2, "4"))
    stated = await work.pass_period(0)
    statement_id, handler = stated.issued.statement_id, work.market.handler
    with pytest.raises(Refusal, match="in hours alone"):
        await statements.dispute_statement(
            handler, work.me("startup"), statement_id, gpu_seconds_counted=0, reason="less"
        )
    await statements.dispute_statement(
        handler, work.me("startup"), statement_id, hours_counted=Decimal("2.5"), reason="less"
    )
    for amount, code, said in (
        ({"gpu_seconds": 1}, "amount_missing", "state only hours"),
        ({}, "amount_missing", "hours is missing; state the total in hours"),
        ({"hours": Decimal(3)}, "concession_above_count", "claim 2.5 hours"),
    ):
        with pytest.raises(Refusal, match=said) as caught:
            await statements.resolve_statement(handler, work.me("provider"), statement_id, **amount, reason="yes")
        assert caught.value.code == code
    await statements.resolve_statement(
        handler, work.me("provider"), statement_id, hours=Decimal("2.5"), reason="conceded"
    )
    settled = await work.market.state("statement", statement_id)
    assert (settled.status, settled.charges.provider_usd) == ("accepted", Decimal("450.00"))
    await work.end()
    await check_log(work.market.log)


async def test_silence_accepts_the_hours_too(work):
    await work.agree()
    work.market.clock.at += timedelta(days=5)
    await work.report(work.reading(2, "4"))
    stated = await work.pass_period(0)
    work.market.clock.at += timedelta(days=7)
    await work.market.until("statement", stated.issued.statement_id, "accepted")


async def test_a_source_uses_an_id_once_for_gpus_and_hours(work):
    await work.agree()
    work.market.clock.at += timedelta(days=5)
    assert await work.report(work.reading(2, "4", "r1")) == ["accepted"]
    start = work.grant.issued.start
    gpus = Measurement(reading_id="r1", start=start, end=start + timedelta(hours=1), nodes=1)
    _, answers = await usage.report_usage(
        work.market.handler, work.me("provider"), work.grant_id, source=SHEET, measurements=(gpus,)
    )
    assert [answer.code for answer in answers] == ["reading_exists"]


async def test_a_grant_that_ends_early_takes_its_service_lines_along(work):
    line = await work.agree()
    work.market.clock.at += timedelta(days=5)
    await work.report(work.reading(2, "4"))
    at = work.market.clock.at + timedelta(days=1)
    await grants.terminate_grant(
        work.market.handler, work.market.context(), work.grant_id, at=at, reason="done", by="startup"
    )
    (period,) = await work.periods()
    assert period.end == at
    work.market.clock.at = at + timedelta(hours=25)
    await work.market.until("statement", period.statement_id, "issued")
    work.market.clock.at += timedelta(days=8)
    await work.market.until("service_line", work.line_id, "closed")
    startup = await work.market.account(work.trade.startup)
    assert startup.holds[line.agreed.hold_id].left_usd == 0
    await check_log(work.market.log)


async def test_one_that_never_began_frees_all_at_once():
    market = Market(MemoryLog())
    trade = await market.trade()
    async with market.worker():
        work = Work(market, trade, await market.award(trade))
        line = await work.agree()
        at = work.grant.issued.start
        await grants.terminate_grant(
            market.handler, market.context(), work.grant_id, at=at, reason="late", by="provider"
        )
        assert (await work.line()).status == "closed"
        startup = await market.account(trade.startup)
        assert startup.holds[line.agreed.hold_id].left_usd == 0
        await check_log(market.log)


SIDES = {"startup": "startup", "provider": "provider", "fund": "holder"}


async def stranger(work):
    return await work.market.party("Stranger", "startup")


async def test_only_who_has_to_says_yes(work):
    line_id, handler = await work.propose(), work.market.handler
    with pytest.raises(Refusal, match="must approve"):
        await service_lines.agree_service_line(handler, work.me("startup"), line_id)
    for name, say in (
        ("startup", service_lines.approve_service_line),
        ("provider", service_lines.approve_service_line),
        ("provider", service_lines.agree_service_line),
        ("fund", service_lines.agree_service_line),
    ):
        with pytest.raises(Refusal) as caught:
            await say(handler, work.me(name), line_id)
        assert (caught.value.code, caught.value.facts["side"]) == ("wrong_side", SIDES[name])
    with pytest.raises(Refusal) as caught:
        await service_lines.agree_service_line(handler, work.market.context(await stranger(work)), line_id)
    assert caught.value.code == "service_line_unknown"
    await parties.suspend_party(handler, work.market.context(), work.trade.fund, reason="fraud report")
    with pytest.raises(Refusal) as caught:
        await service_lines.approve_service_line(handler, work.me("fund"), line_id)
    assert caught.value.code == "party_suspended"
    await service_lines.decline_service_line(handler, work.me("fund"), line_id, reason="not for equity")
    line = await work.line()
    assert line.status == "declined"
    with pytest.raises(Refusal) as caught:
        await work.report(work.reading(1, "1"))
    assert caught.value.code == "service_line_declined"
    await parties.suspend_party(handler, work.market.context(), work.trade.provider, reason="fraud report")
    with pytest.raises(Refusal) as caught:
        await work.propose()
    assert caught.value.code == "party_not_cleared"


async def test_nothing_is_agreed_on_that_nobody_can_pay(work):
    await work.propose(hours="1000000", price="400")
    await service_lines.approve_service_line(work.market.handler, work.me("fund"), work.line_id)
    with pytest.raises(Refusal) as caught:
        await service_lines.agree_service_line(work.market.handler, work.me("startup"), work.line_id)
    assert caught.value.code == "funds_insufficient"
    assert (await work.line()).status == "proposed"
    assert (await work.market.state("grant", work.grant_id)).service_lines == ()


async def test_periods_of_a_line_are_stated_in_their_order(work):
    await work.agree()
    first, second = await work.periods()
    handler, context = Handler(work.market.log, work.market.clock), work.market.context()
    with pytest.raises(Refusal) as caught:
        await service_statements.issue_service_statement(handler, context, work.line_id, 0)
    assert caught.value.code == "period_runs"
    with pytest.raises(Refusal) as caught:
        await service_statements.issue_service_statement(handler, context, work.line_id, 7)
    assert caught.value.code == "period_unknown"
    assert first.end == second.start


@pytest.mark.parametrize("act", ["void", "correct"])
async def test_one_person_of_the_provider_takes_back_no_more_hours_than_its_limit(work, act):
    await work.agree()
    work.market.clock.at += timedelta(days=6)
    assert await work.report(work.reading(3, "4"), work.reading(5, "4")) == ["accepted", "accepted"]
    account_id = rename_id("acc", work.trade.provider)

    async def take_back(day):
        told = {"source": SHEET, "reason": "nobody worked"}
        if act == "void":
            told["reading_id"] = f"day-{day}"
            await service_hours.void_hours(work.market.handler, work.me("provider"), work.line_id, **told)
        else:
            told["reading"] = work.reading(day, "0.5", f"day-{day}")
            await service_hours.correct_hours(work.market.handler, work.me("provider"), work.line_id, **told)

    limited = structs.replace(work.me("provider"), actor_person="p1")
    await set_limit(work.market.handler, limited, account_id, limit_usd=Decimal(1_000))
    await work.accept((await work.pass_period(0)).issued.statement_id)
    await take_back(3)
    with pytest.raises(Refusal) as caught:
        await take_back(5)
    assert caught.value.code == "limit_exceeded"
    work.market.clock.at += timedelta(hours=25)
    await take_back(5)
