"""Options of holders that leave the company: what has vested stays for the stated days, and the rest is forfeited."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from events.vesting import VestingSchedule
from marketplace.application.equity import consents, issuers
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.domain.equity.issuer.commands import AddStakeholder
from marketplace.domain.equity.issuer.rights_commands import CancelOption, ExerciseOption, GrantOption
from marketplace.domain.equity.proposal import WAIVED_AFTER
from marketplace.domain.equity.rights import list_rights
from tests.application.equity.test_equity import act, pay_in
from tests.application.equity.test_holder_terms import vote
from tests.support.market.agreeing import act_agreed
from tests.support.market.auditing import CapTableConsents, find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

DAYS = 90


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def employ(market, trade, days=DAYS):
    """Grant a party an option on 4,800 shares, 100 a month; a year has vested. Return the party and the option."""
    employee = await market.party("Employee", "fund")
    await pay_in(market, employee)
    await act(market, trade.startup, AddStakeholder, holder_id=employee, name="Employee", kind="employee")
    today = market.clock.now().date()
    vesting = VestingSchedule(
        starts_on=date(today.year - 1, today.month, 1),
        tranches=48,
        months_between=1,
        cliff_tranches=12,
        allocation="CUMULATIVE_ROUND_DOWN",
    )
    option_id = derive_id("opt", employee)
    terms = {"holder_id": employee, "shares": 4_800, "exercise_price_usd": Decimal("0.01"), "vesting": vesting}
    await act_agreed(market, trade.startup, GrantOption, option_id=option_id, **terms, termination_exercise_days=days)
    return employee, option_id


async def cancel(market, trade, option_id, shares, kind="forfeited", by_platform=False):
    """Cancel shares of an option, and return the proposal, if there is one."""
    context = market.context(None if by_platform else trade.startup)
    command = CancelOption(
        issuer_id=trade.issuer,
        cancellation_id=derive_id("can", context.command_id),
        option_id=option_id,
        shares=shares,
        kind=kind,
        reason="left",
        at=context.at,
    )
    await issuers.act(market.handler, context, command)
    return await consents.find_proposal(market.handler, context)


async def exercise(market, trade, option_id, shares):
    context = market.context((await market.state("issuer", trade.issuer)).options[option_id].granted.holder_id)
    command = ExerciseOption(
        issuer_id=trade.issuer,
        exercise_id=derive_id("exr", context.command_id),
        option_id=option_id,
        class_id="common",
        shares=shares,
        at=context.at,
    )
    await issuers.act(market.handler, context, command)


async def refuse(code, awaitable):
    with pytest.raises(Refusal) as caught:
        await awaitable
    assert caught.value.code == code


async def wait(market, proposal_id):
    """Let the days pass in which the holder may refuse, and return the proposal's status."""
    market.clock.at += WAIVED_AFTER
    await consents.carry_out_waived(market.handler, market.context(), proposal_id)
    return (await market.state("proposal", proposal_id)).status


async def test_who_left_keeps_what_has_vested_for_the_stated_days_and_the_rest_returns_to_the_pool(market, held):
    """An employee that had left was asked to give up what it had not earned, and its option vested on for ever."""
    trade, _, _ = held
    employee, option_id = await employ(market, trade)
    available = (await market.state("issuer", trade.issuer)).shares_available
    left_on = market.clock.now().date()
    await refuse("option_vested", cancel(market, trade, option_id, 3_601))
    proposal_id = await cancel(market, trade, option_id, 3_600)
    asked = {each.electorate for each in (await market.state("proposal", proposal_id)).made.consents}
    assert asked == {f"holder/{employee}"}
    assert await wait(market, proposal_id) == "effective"
    issuer = await market.state("issuer", trade.issuer)
    option = issuer.options[option_id]
    assert (option.shares_outstanding, issuer.shares_available) == (1_200, available + 3_600)
    assert option.exercisable_until == left_on + timedelta(days=DAYS)
    market.clock.at += timedelta(days=DAYS) - WAIVED_AFTER
    await exercise(market, trade, option_id, 700)
    await refuse("option_overdrawn", exercise(market, trade, option_id, 501))
    assert await cancel(market, trade, option_id, 500, "expired") is not None, "its last day is not over"
    market.clock.at += timedelta(days=1)
    await refuse("option_expired", exercise(market, trade, option_id, 1))
    assert await find_faults(CapTableConsents, market.log) == []
    assert await cancel(market, trade, option_id, 500, "expired") is None
    assert (await market.state("issuer", trade.issuer)).options[option_id].shares_outstanding == 0
    await check_log(market.log)
    assert await find_faults(CapTableConsents, market.log) == []
    late = await find_faults(CapTableConsents, market.log, service_ended_on=str(left_on - timedelta(days=1)))
    assert {kind for kind, *_ in late} == {"consent", "vesting"}, "its service did not end on the proposal's day"
    never = await find_faults(CapTableConsents, market.log, termination_exercise_days=None)
    assert {kind for kind, *_ in never} == {"consent"}, "the grant says nothing of service"


async def test_who_did_not_leave_refuses_and_the_platform_decides(market, held):
    trade, _, _ = held
    employee, option_id = await employ(market, trade)
    proposal_id = await cancel(market, trade, option_id, 3_600)
    await consents.refuse(market.handler, market.context(employee), proposal_id, reason="I work here")
    assert (await market.state("proposal", proposal_id)).status == "refused"
    assert not (await market.state("issuer", trade.issuer)).refusals, "it is no investor that refuses an issue"
    assert await cancel(market, trade, option_id, 3_600, by_platform=True) is None
    assert (await market.state("issuer", trade.issuer)).options[option_id].shares_outstanding == 1_200
    await check_log(market.log)


async def test_who_leaves_once_all_has_vested_has_the_stated_days_too(market, held):
    trade, _, _ = held
    employee, option_id = await employ(market, trade)
    market.clock.at += timedelta(days=4 * 366)
    proposal_id = await cancel(market, trade, option_id, 0)
    assert await vote(market, employee, proposal_id) == "effective"
    market.clock.at += timedelta(days=DAYS + 1)
    await refuse("option_expired", exercise(market, trade, option_id, 1))
    assert await cancel(market, trade, option_id, 4_800, "expired") is None
    await check_log(market.log)


async def test_a_right_that_does_not_depend_on_service_is_not_taken_by_silence(market, held):
    """A company cannot say of a fund that it left."""
    trade, _, _ = held
    _, option_id = await employ(market, trade, days=None)
    await refuse("shares_not_positive", cancel(market, trade, option_id, 0))
    proposal_id = await cancel(market, trade, option_id, 3_600)
    assert await wait(market, proposal_id) == "open"
    assert (await market.state("issuer", trade.issuer)).options[option_id].shares_outstanding == 4_800
    row = next(each for each in list_rights() if each.name == "option_cancellation")
    assert "`termination_exercise_days`" in row.unless
