"""Issuers: corporate actions, financings and the sale of the company.

Closing a financing converts every instrument in the append that issues its shares. Paying a distribution ends every
instrument in the append that pays the holders.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Literal

from msgspec import structs

from events.financing import Approval, RoundTerms
from events.instants import FOREVER
from events.issuer_holders import HolderTerms, StatedAgreement
from marketplace.application.equity.consents import carry_out, load_concerned
from marketplace.application.equity.vesting import load_vesting, vest
from marketplace.application.steps.access import (
    load_issuer,
    require_decider,
    require_parties,
    require_tenant,
    require_unfrozen,
)
from marketplace.application.steps.company_acts import close_round, load_converting, load_outstanding, sell_company
from marketplace.application.steps.end_fees import keep_sale_fees
from marketplace.application.steps.paying import pay
from marketplace.application.steps.pro_rata import release_pro_rata, take_pro_rata
from marketplace.application.steps.proceeds import keep_proceeds
from marketplace.application.steps.statement_chain import bound_unsettled
from marketplace.application.steps.stock_agreements import issue_all_owed, name_receivers
from marketplace.application.steps.takeover import deliver_stock
from marketplace.core.ids import derive_id, is_id, rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import Debit, Reserve, Withdraw
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.issuer.commands import (
    AbandonFinancing,
    AddStakeholder,
    BuyerStock,
    FormIssuer,
    IssuerCommand,
    OpenFinancing,
    PayDistribution,
    PriceFinancing,
    RecordValuation,
    WithdrawLiquidity,
)
from marketplace.domain.equity.issuer.holder_commands import AgreeHolderTerms
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.sale.liquidity import (
    PAY_DAYS,
    list_cash,
    list_repayments,
    require_proceeds,
)
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.equity.issuer.terms import RoundDraft
from marketplace.domain.equity.rights import list_appointed, require_company, require_own
from marketplace.domain.party import PARTY, require_trader
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def form_issuer(
    handler: Handler, context: Context, *, party_id: str, legal_name: str, jurisdiction: str, formed_on: date
) -> Receipt:
    """Begin the capitalisation of a cleared startup. The issuer's id is the party's, with the prefix ``iss_``.

    Raises:
        Refusal: Refusals of the party · ``issuer_exists``.
    """
    require_tenant(context, party_id)
    issuer_id = rename_id("iss", party_id)

    async def work(unit: UnitOfWork) -> None:
        require_trader(await unit.load(PARTY, party_id), party_id, "startup")
        command = FormIssuer(
            issuer_id=issuer_id,
            party_id=party_id,
            legal_name=legal_name,
            jurisdiction=jurisdiction,
            formed_on=formed_on,
        )
        await unit.decide(ISSUER, issuer_id, command)

    return await handler.run(context, ISSUER, issuer_id, work)


async def act(handler: Handler, context: Context, command: IssuerCommand) -> Receipt:
    """Carry out, or propose, one corporate action. Money that parties pay for stock moves in the same append.

    Ids of what it creates must derive from the command's id; see `derive_id`. A stakeholder that is added is a party
    here, or has an id of its own (``stk_…``). Directors, recorders, customers and vendors are parties here.

    Raises:
        Refusal: ``party_unknown`` for a stakeholder · refusals of the issuer · ``party_unknown`` · as `carry_out`.
    """
    issuer_id = command.issuer_id

    async def work(unit: UnitOfWork) -> None:
        require_own(await unit.get(ISSUER, issuer_id, Issuer), command, context.party_id)
        if isinstance(command, AddStakeholder) and not is_id(command.holder_id, "stk"):
            await require_parties(unit, [command.holder_id])
        await name_receivers(unit, command)
        await unit.decide(ISSUER, issuer_id, command)
        await require_parties(unit, list_appointed(command))

    return await carry_out(handler, context, issuer_id, work)


async def record_valuation(handler: Handler, context: Context, command: RecordValuation) -> Receipt:
    """Record a valuation of a share, as the company or the platform, and vest what vests at that price.

    That of the platform takes the place of a vote in a net exercise and in a consolidation.

    Raises:
        Refusal: ``scope_missing`` for a key of the platform that may not decide · ``issuer_unknown`` ·
            ``party_suspended`` · refusals of the issuer.
    """
    require_decider(context)
    issuer_id = command.issuer_id
    recorded_by: Literal["company", "platform"] = "platform" if context.party_id is None else "company"
    by = structs.replace(command, recorded_by=recorded_by, on_day=context.at.date())

    async def work(unit: UnitOfWork) -> None:
        await load_issuer(unit, issuer_id)
        await require_unfrozen(unit)
        await unit.decide(ISSUER, issuer_id, by)
        await vest(unit, issuer_id)

    return await handler.run(context, ISSUER, issuer_id, work)


async def open_financing(
    handler: Handler,
    context: Context,
    issuer_id: str,
    *,
    name: str,
    terms: RoundTerms | RoundDraft,
    closing_days: int = 30,
    open_days: int = 120,
) -> Receipt:
    """Open a round, which may be priced for `open_days`, and close for `closing_days` after it is priced.

    Its id derives from the command's, with the prefix ``fin_``.

    Raises:
        Refusal: As `carry_out`.
    """
    command = OpenFinancing(
        issuer_id=issuer_id,
        financing_id=derive_id("fin", context.command_id),
        name=name,
        terms=terms,
        at=context.at,
        closing_days=closing_days,
        open_days=open_days,
    )
    return await act(handler, context, command)


async def price_financing(handler: Handler, context: Context, issuer_id: str, financing_id: str) -> Receipt:
    """Compute, as the company, the round's price and every instrument's shares.

    Raises:
        Refusal: ``issuer_unknown`` · ``party_suspended`` · ``shares_owed`` · refusals of the issuer.
    """

    async def work(unit: UnitOfWork) -> None:
        issuer = await load_issuer(unit, issuer_id)
        await require_unfrozen(unit)
        command = PriceFinancing(
            issuer_id=issuer_id,
            financing_id=financing_id,
            instruments=await load_converting(unit, issuer),
            at=context.at,
        )
        await unit.decide(ISSUER, issuer_id, command, long=True)

    return await handler.run(context, ISSUER, issuer_id, work)


async def close_financing(
    handler: Handler, context: Context, issuer_id: str, financing_id: str, *, approval: Approval
) -> Receipt:
    """Issue the shares of a priced round and convert its instruments, or propose this to those who must agree.

    Investors that are parties pay from their accounts in the same append. Others pay outside; the approval names the
    document.

    Raises:
        Refusal: ``financing_closed`` if another command closed it · refusals of the issuer and its instruments ·
            ``funds_insufficient``.
    """

    async def work(unit: UnitOfWork) -> None:
        require_company(await unit.get(ISSUER, issuer_id, Issuer), context.party_id)
        await close_round(unit, issuer_id, financing_id, approval=approval, at=context.at)

    return await carry_out(handler, context, issuer_id, work)


async def abandon_financing(
    handler: Handler, context: Context, issuer_id: str, financing_id: str, *, reason: str
) -> Receipt:
    """Abandon a round, and release what holders set aside to join it. Raises as `carry_out`."""

    async def work(unit: UnitOfWork) -> None:
        require_company(await unit.get(ISSUER, issuer_id, Issuer), context.party_id)
        command = AbandonFinancing(issuer_id=issuer_id, financing_id=financing_id, reason=reason)
        await unit.decide(ISSUER, issuer_id, command)
        await release_pro_rata(unit, await unit.get(ISSUER, issuer_id, Issuer), financing_id)

    return await carry_out(handler, context, issuer_id, work)


async def lapse_financing(handler: Handler, context: Context, issuer_id: str, financing_id: str) -> Receipt:
    """End a round whose time has passed, and release what holders set aside to join it.

    Raises:
        Refusal: ``financing_unknown`` · ``financing_closed`` · ``financing_not_due``.
    """

    async def work(unit: UnitOfWork) -> None:
        command = AbandonFinancing(
            issuer_id=issuer_id, financing_id=financing_id, reason="not closed in time", overdue_at=context.at
        )
        await unit.decide(ISSUER, issuer_id, command)
        await release_pro_rata(unit, await unit.get(ISSUER, issuer_id, Issuer), financing_id)

    return await handler.run(context, ISSUER, issuer_id, work)


async def agree_holder_terms(
    handler: Handler, context: Context, issuer_id: str, *, terms: HolderTerms, approval: Approval
) -> Receipt:
    """Propose terms between the company and its holders, in place of earlier ones. Raises as `carry_out`."""
    return await act(handler, context, AgreeHolderTerms(issuer_id=issuer_id, terms=terms, approval=approval))


async def answer_pro_rata(
    handler: Handler,
    context: Context,
    issuer_id: str,
    financing_id: str,
    *,
    amount_usd: Decimal,
    holder_id: str | None = None,
) -> Receipt:
    """Join a round by a pro rata right, as the holder, or decline with 0. The money is set aside until the round ends.

    A holder that was offered a part answers also after it sold all that it held. `holder_id` names the holder for whom
    the platform answers; without it, the sender answers.

    Raises:
        Refusal: ``party_unknown`` if a tenant names another holder · ``issuer_unknown`` · ``party_suspended`` ·
            refusals of the issuer · ``funds_insufficient``.
    """

    async def work(unit: UnitOfWork) -> None:
        answers = holder_id or context.party_id or ""
        require_tenant(context, answers)
        await take_pro_rata(unit, issuer_id, financing_id, holder_id=answers, amount_usd=amount_usd, at=context.at)

    def list_offered(issuer: Issuer) -> frozenset[str]:
        financing = issuer.financings.get(financing_id)
        return frozenset() if financing is None else frozenset(each.holder_id for each in financing.offers)

    return await carry_out(handler, context, issuer_id, work, allows=list_offered)


async def declare_liquidity(
    handler: Handler,
    context: Context,
    issuer_id: str,
    *,
    proceeds_usd: Decimal,
    safe_seniority: int | None = None,
    stock: BuyerStock | None = None,
    agreed: tuple[StatedAgreement, ...] = (),
    assumed_by: str | None = None,
    pay_days: int = PAY_DAYS,
    auction_ids: Sequence[str] = (),
) -> Receipt:
    """Propose the sale of an issuer, with its waterfall. Its id derives from the command's, with the prefix ``liq_``.

    Args:
        handler: Runs the command.
        context: Who asks.
        issuer_id: The issuer.
        proceeds_usd: What is shared among the holders.
        safe_seniority: The rank of SAFEs among preferred stock; needed if its classes have several ranks.
        stock: The buyer's stock; None if it pays cash.
        agreed: Stockholders that are no parties of this market and agreed, as the company states.
        assumed_by: The issuer of a buyer that takes over, in cash, the grants that are paid for in equity; None for
            none.
        pay_days: For how many days it may be agreed to and paid.
        auction_ids: The auctions that are not completed.

    Raises:
        Refusal: As `carry_out`, ``market_deciding`` while an auction has bound an order that pays in equity.
    """

    async def work(unit: UnitOfWork) -> None:
        require_company(await unit.get(ISSUER, issuer_id, Issuer), context.party_id)
        await sell_company(
            unit,
            issuer_id,
            derive_id("liq", context.command_id),
            proceeds_usd=proceeds_usd,
            safe_seniority=safe_seniority,
            stock=stock,
            at=context.at,
            agreed=agreed,
            assumed_by=assumed_by,
            pay_days=pay_days,
            **await load_vesting(unit, issuer_id),
        )

    return await carry_out(handler, context, issuer_id, work, auction_ids=auction_ids)


async def withdraw_liquidity(
    handler: Handler, context: Context, issuer_id: str, liquidity_id: str, *, reason: str
) -> Receipt:
    """Withdraw a declared sale, or propose this to its security holders. Raises as `carry_out`."""
    command = WithdrawLiquidity(
        issuer_id=issuer_id, liquidity_id=liquidity_id, cause="agreed", reason=reason, at=context.at
    )
    return await act(handler, context, command)


async def lapse_liquidity(handler: Handler, context: Context, issuer_id: str, liquidity_id: str) -> Receipt:
    """End a declared sale that was not paid in time.

    Raises:
        Refusal: ``liquidity_unknown`` · ``liquidity_paid`` · ``liquidity_replaced`` · ``liquidity_not_due``.
    """

    async def work(unit: UnitOfWork) -> None:
        command = WithdrawLiquidity(
            issuer_id=issuer_id, liquidity_id=liquidity_id, cause="overdue", reason="not paid in time", at=context.at
        )
        await unit.decide(ISSUER, issuer_id, command)
        await issue_all_owed(unit, issuer_id)
        await keep_proceeds(unit, issuer_id)

    return await handler.run(context, ISSUER, issuer_id, work)


async def pay_distribution(
    handler: Handler, context: Context, issuer_id: str, liquidity_id: str, *, auction_ids: Sequence[str] = ()
) -> Receipt:
    """Pay the proceeds of a sale from the company's account to every holder, which ends the issuer.

    The company, each of its holders and the platform may do this. In a sale for stock only cash for fractions is paid.
    A buyer of this market issues its shares in the same append, unless one of `auction_ids` decides on an order that it
    pays for in equity; any other one delivers them outside. A holder that is a
    party is paid on its account. Any other is paid outside, by a withdrawal that names it.

    Principal that accrued since the declaration is paid in cash beside the proceeds. What is delivered and not accepted
    is paid in cash as its statements are settled; the account keeps the money for it.

    Raises:
        Refusal: ``issuer_unknown`` · ``party_suspended`` · refusals of the issuer ·
            ``funds_insufficient`` · refusals of the buyer's issuer · ``market_deciding``.
    """

    async def work(unit: UnitOfWork) -> None:
        issuer = await load_concerned(unit, issuer_id)
        for party_id in (context.party_id, issuer.formed.party_id):
            await require_unfrozen(unit, party_id)
        outstanding = await load_outstanding(unit, issuer)
        command = PayDistribution(
            issuer_id=issuer_id,
            liquidity_id=liquidity_id,
            outstanding=outstanding,
            at=context.at,
            **await load_vesting(unit, issuer_id),
        )
        await unit.decide(ISSUER, issuer_id, command, long=True)
        if not unit.list_events(ISSUER, issuer_id):
            return
        paid = await unit.get(ISSUER, issuer_id, Issuer)
        for repayment in list_repayments(paid, liquidity_id, outstanding):
            await unit.decide(INSTRUMENT, repayment.instrument_id, repayment)
        payouts: dict[str, Decimal] = {}
        for holder_id, amount_usd in list_cash(paid, liquidity_id):
            payouts[holder_id] = payouts.get(holder_id, ZERO) + amount_usd
        await _require_money(unit, issuer, liquidity_id, payouts)
        await keep_proceeds(unit, issuer_id)
        for holder_id, amount_usd in sorted(payouts.items()):
            if amount_usd:
                await _pay_holder(unit, issuer, liquidity_id, holder_id, amount_usd)
        await deliver_stock(unit, paid, liquidity_id, auction_ids)

    return await handler.run(context, ISSUER, issuer_id, work)


async def _require_money(unit: UnitOfWork, issuer: Issuer, liquidity_id: str, payouts: Mapping[str, Decimal]) -> None:
    """Refuse to pay a sale before all is there that it pays, and keep what unsettled delivery and early ends may cost.

    Raises:
        Refusal: ``funds_insufficient``.
    """
    payer_id, party_id = rename_id("acc", issuer.formed.party_id), unit.context.party_id
    kept = await bound_unsettled(unit, issuer)
    available = (await unit.get(ACCOUNT, payer_id)).count_free(unit.context.at, {liquidity_id})
    told = party_id in {None, issuer.formed.party_id}
    kept_usd = sum(kept.values(), await keep_sale_fees(unit, issuer))
    require_proceeds(liquidity_id, payouts, available, kept_usd=kept_usd, told=told)
    for grant_id, amount_usd in sorted(kept.items()):
        reserve = Reserve(account_id=payer_id, amount_usd=amount_usd, until=FOREVER, cause=grant_id)
        await unit.decide(ACCOUNT, payer_id, reserve)


async def _pay_holder(unit: UnitOfWork, issuer: Issuer, liquidity_id: str, holder_id: str, amount_usd: Decimal) -> None:
    payer = rename_id("acc", issuer.formed.party_id)
    if not is_id(holder_id, "pty") or await unit.load(PARTY, holder_id) is None:
        reference = f"{liquidity_id}/{holder_id}"
        withdraw = Withdraw(account_id=payer, amount_usd=amount_usd, reference=reference, at=unit.context.at)
        await unit.decide(ACCOUNT, payer, withdraw)
        return
    payee = rename_id("acc", holder_id)
    debit = Debit(
        account_id=payer,
        amount_usd=amount_usd,
        payee_account_id=payee,
        cause=liquidity_id,
        owed=True,
        at=unit.context.at,
    )
    await pay(unit, debit)
