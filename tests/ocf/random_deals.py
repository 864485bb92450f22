"""Agreements, rounds and sales of a company's life at random; see `random_life`."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction

from events.financing import Investment, PayToPlay, PayToPlayDuty
from events.issuer_dilution import CountedInstrument
from events.issuer_holders import HolderTerms
from events.types import MaturityConversion, NoteTerms, SafeTerms, WarrantTerms
from marketplace.core.errors import Refusal
from marketplace.core.rounding import round_places
from marketplace.domain.equity.instrument import commands as instrument_commands
from marketplace.domain.equity.issuer import commands, holder_commands, rights_commands, stock_commands
from marketplace.domain.equity.issuer.financing.financing import list_conversions
from marketplace.domain.equity.issuer.terms import RoundDraft
from tests.captable.company import FUND, PROVIDER, make_id
from tests.ocf import random_life as acts
from tests.ocf.random_life import HOLDERS, RandomLife
from tests.ocf.random_warrants import play_customer_warrant


def limit_dilution(life):
    counted = tuple(
        CountedInstrument(instrument_id=key, exposures=exposures)
        for key in sorted(life.instruments)
        if (exposures := life.instruments[key].list_exposures(life.time.date()))
    )
    limit = life.pick([None, None, Decimal("0.5"), Decimal("0.9")])
    worth = Decimal(5_000_000)
    counted = () if limit is None else counted
    life.act(commands.LimitDilution, dilution_max=limit, valuation_usd=worth, instruments=counted)


def find_terms(life):
    safe = SafeTerms(
        conversion_timing=life.pick(["post_money", "pre_money"]),
        valuation_cap_usd=life.pick([None, Decimal(8_000_000), Decimal("12345678.91")]),
        discount=life.pick([None, Decimal("0.2"), Decimal("0.125")]),
        most_favoured_nation=life.pick([False, False, True]),
        service_consequence="credit",
    )
    become = MaturityConversion(
        class_id="common", capitalization_definition="outstanding", share_rounding=life.pick(["floor", "half_even"])
    )
    note = NoteTerms(
        annual_rate=life.pick([Decimal(0), Decimal("0.08"), Decimal("0.123456")]),
        interest=life.pick(["simple", "compound_annual", "compound_quarterly", "compound_monthly"]),
        day_count=life.pick(["actual_365", "actual_360", "thirty_360"]),
        matures_on=life.time.date() + timedelta(days=life.pick([1, 365, 900])),
        valuation_cap_usd=Decimal(9_000_000),
        discount=life.pick([None, Decimal("0.15")]),
        repayment_multiple=life.pick([Decimal(1), Decimal("1.5")]),
        service_consequence="exclude",
        at_maturity=life.pick([None, become]),
    )
    return life.pick([safe, safe, note])


def track(life, key, *, owed=True):
    if life.issuer.limit is not None:
        life.together()
        exposures = life.instruments[key].list_exposures(life.time.date())
        life.act(commands.RecordExposure, subject_id=key, exposures=exposures, owed=owed)


def sign(life):
    key, drawn = life.number("ins"), life.pick([False, True])
    amount = Decimal(life.pick(["0.01", "1000", "250000.5", "600000"]))
    holder_id = life.pick([FUND, PROVIDER])
    life.sign(key, holder_id, find_terms(life), amount, make_id("grt", life.count) if drawn else None)
    life.together()
    if not drawn:
        life.accrue(key, life.count, amount)
    track(life, key, owed=False)


def pass_on(life):
    """Sign a SAFE or note with a holder without a key, which then is a party."""
    if FUND not in life.issuer.stakeholders:
        raise Refusal("nothing", "the fund is no stakeholder")
    key, keyless = life.number("ins"), make_id("stk", life.pick([1, 2, 3, 4]))
    life.sign(key, keyless, find_terms(life), Decimal(1_000), None)
    life.together()
    life.accrue(key, life.count, Decimal(1_000))
    sides = {"holder_id": keyless, "holder_id_after": FUND}
    life.deed(instrument_commands.TransferInstrument(instrument_id=key, **sides))
    exposures = life.instruments[key].list_exposures(life.time.date())
    life.act(commands.RecordExposure, subject_id=key, exposures=exposures, owed=True, holder_id=FUND)


def buy_warrant(life):
    """Sign a warrant for cash, which buys its rights at once."""
    key, amount, price = life.number("ins"), Decimal(life.pick(["1000", "250000.5"])), Decimal("0.50")
    terms = WarrantTerms(
        class_id="common",
        price_usd_per_share=price,
        exercise_price_usd=life.pick([Decimal(0), Decimal("0.30")]),
        expires_at=life.time + timedelta(days=life.pick([1, 4_000])),
    )
    holder_id = life.pick([FUND, PROVIDER])
    life.sign(key, holder_id, terms, amount, None)
    life.together()
    life.accrue(key, life.count, amount)
    warrant_id = life.number("wrt")
    purchase = life.buy(key, warrant_id)
    track(life, key)
    bought = {"class_id": "common", "shares": purchase.shares, "exercise_price_usd": terms.exercise_price_usd}
    life.act(
        rights_commands.IssueWarrant,
        warrant_id=warrant_id,
        holder_id=holder_id,
        **bought,
        expires_at=terms.expires_at,
        settlement="either",
        cause=key,
    )


def accrue(life):
    drawing = {key for key, each in life.instruments.items() if each.status == "active" and each.undrawn_usd}
    key = life.pick(drawing)
    life.count += 1
    amount = min(Decimal(life.pick(["0.01", "333.33", "100000"])), life.instruments[key].undrawn_usd)
    life.accrue(key, life.count, amount, make_id("stm", life.count))
    track(life, key)


def reverse(life):
    key = life.pick(set(life.instruments))
    instrument = life.instruments[key]
    tranche = life.pick(instrument.tranches)
    conversion = None if tranche.conversion is None else instrument.conversions[tranche.conversion]
    class_id = "common" if conversion is None else conversion.class_id
    held, split = life.issuer.holdings.get((instrument.holder_id, class_id), 0), Fraction(1)
    warrant = None if conversion is None else life.issuer.warrants.get(conversion.cause)
    if warrant is not None:
        held, split = warrant.shares_outstanding, warrant.split
    before = len(life.acts)
    life.deed(
        instrument_commands.ReversePrincipal(
            instrument_id=key,
            tranche_id=tranche.tranche_id,
            principal_usd=life.pick([tranche.principal_usd, Decimal("0.01")]),
            reason=f"audit {life.count}",
            reduction=life.pick([None, "cancel_shares", "debt"]),
            shares_held=held,
            split=split,
        )
    )
    taken = life.acts[before].event.taken if len(life.acts) > before else None
    life.together()
    if taken is not None and taken.shares and warrant is not None:
        rights = {"warrant_id": taken.cause, "shares": taken.shares, "cause": key}
        life.act(rights_commands.CancelWarrant, cancellation_id=life.number("can"), **rights)
    elif taken is not None and taken.shares:
        given = {"holder_id": instrument.holder_id, "class_id": taken.class_id, "shares": taken.shares}
        price = Decimal(0)
        life.act(
            stock_commands.RepurchaseStock,
            repurchase_id=life.number("rep"),
            **given,
            price_usd_per_share=price,
            cause=key,
        )
    track(life, key)


def pay_debt(life):
    amount = Decimal("0.01")
    key = life.pick(set(life.instruments))
    life.deed(instrument_commands.PayDebt(instrument_id=key, cause=life.number("pay"), amount_usd=amount))


def suspend(life):
    key = life.pick(set(life.instruments))
    life.deed(instrument_commands.SuspendInstrument(instrument_id=key, reason="SLA"))


def resume(life):
    life.deed(instrument_commands.ResumeInstrument(instrument_id=life.pick(set(life.instruments))))


def lapse(life):
    key = life.pick(set(life.instruments))
    life.deed(instrument_commands.LapseInstrument(instrument_id=key, reason="the grant ended"))
    track(life, key)


def reduce(life):
    key = life.pick(set(life.instruments))
    life.deed(
        instrument_commands.ReduceCommitment(instrument_id=key, amount_usd=Decimal("0.01"), cause=life.number("rsl"))
    )
    track(life, key)


def amend(life):
    key = life.pick(set(life.instruments))
    earlier = life.pick([False, True])
    life.deed(
        instrument_commands.AmendInstrument(instrument_id=key, terms=find_terms(life), applies_to_earlier=earlier)
    )
    track(life, key)


def cancel(life):
    key = life.pick(set(life.instruments))
    life.deed(instrument_commands.CancelInstrument(instrument_id=key, reason="mutual", at=life.time))
    track(life, key)


def elect(life):
    favoured = {key for key, each in life.instruments.items() if getattr(each.terms, "most_favoured_nation", False)}
    key = life.pick(favoured)
    later = life.pick(set(life.instruments) - {key})
    terms = life.instruments[later].terms
    if not isinstance(terms, SafeTerms):
        raise Refusal("nothing", "the later one is no SAFE")
    window = {"elect_until": life.time + timedelta(days=20), "at": life.time}
    life.deed(instrument_commands.NoticeMfn(instrument_id=key, later_instrument_id=later, terms=terms, **window))
    chosen = life.pick([None, later, later])
    life.deed(instrument_commands.ElectMfn(instrument_id=key, later_instrument_id=chosen, at=life.time))
    track(life, key)


def mature(life):
    notes = {key for key, each in life.instruments.items() if isinstance(each.terms, NoteTerms) and each.list_runs()}
    key = life.pick(notes)
    run = life.pick(life.instruments[key].list_runs())
    life.time = max(life.time, datetime.combine(run.terms.matures_on + timedelta(days=1), time(), UTC))
    life.deed(instrument_commands.MatureNote(instrument_id=key, at=life.time))
    become, price = run.terms.at_maturity, Decimal("0.37")
    if become is None or life.pick([False, True]):
        return
    life.together()
    security_id, amount = life.number("sec"), run.principal_usd
    shares = int(amount / price)
    life.deed(
        instrument_commands.ConvertInstrument(
            instrument_id=key,
            cause=security_id,
            principal_usd=amount,
            amount_exact=Fraction(amount),
            branch="cap",
            price=Fraction(price),
            class_id=become.class_id,
            shares_exact=Fraction(amount) / Fraction(price),
            shares=shares,
            interest_until=run.terms.matures_on,
        )
    )
    track(life, key)
    paid = {"shares": shares, "price_usd_per_share": round_places(Fraction(price), 12, "half_even")}
    holder_id = life.instruments[key].holder_id
    issued = {"security_id": security_id, "holder_id": holder_id, "class_id": become.class_id}
    life.act(stock_commands.IssueStock, **issued, **paid, cause=key)


def repay(life):
    key = life.pick(set(life.instruments))
    life.deed(instrument_commands.RepayNote(instrument_id=key, cause=life.number("pay"), on_day=life.time.date()))
    track(life, key)


def list_converting(life):
    return tuple(each for key in sorted(life.instruments) for each in life.instruments[key].list_converting())


def draft_round(life):
    protection = life.pick([None, "weighted_average", "full_ratchet"])
    participation = life.pick(["none", "full", "capped"])
    held = [key for key in sorted(life.issuer.holdings) if life.issuer.classes[key[1]].created.kind == "preferred"]
    duty = None
    if held and life.pick([False, True]):
        holder_id, class_id = life.pick(held)
        duty = PayToPlay(
            duties=(PayToPlayDuty(holder_id=holder_id, class_id=class_id, obligation_usd=Decimal(10_000)),),
            class_id_after=life.find_class("common"),
            common_per_preferred=life.pick([Decimal(1), Decimal("0.1"), Decimal("0.000001")]),
        )
    return RoundDraft(
        class_id=life.pick(["series-a", "series-b", "seed"]),
        pre_money_usd=Decimal(life.pick(["1000000", "20000000", "1234567890.12"])),
        investments=tuple(
            Investment(holder_id=holder_id, amount_usd=Decimal(life.pick(["50000.05", "2000000"])))
            for holder_id in sorted({life.pick(HOLDERS), life.pick(HOLDERS)})
        ),
        pool_post_money=life.pick([Decimal(0), Decimal("0.1")]),
        pool_timing=life.pick(["pre_money", "post_money"]),
        pricing_convention=life.pick(["percent_ownership", "dollars_invested", "pre_money_method"]),
        capitalization_definition=life.pick(["yc_standard", "existing_fully_diluted", "outstanding"]),
        share_rounding=life.pick(["floor", "nearest", "ceiling"]),
        price_places=life.pick([4, 12]),
        price_rounding=life.pick(["floor", "half_even"]),
        liquidation_multiple=Decimal(1),
        seniority=2,
        participation=participation,
        participation_cap_multiple=Decimal(2) if participation == "capped" else None,
        price_protection=protection,
        protection_basis="outstanding" if protection == "weighted_average" else None,
        closing_date=life.time.date(),
        pay_to_play=duty,
    )


def agree_terms(life):
    pro_rata = tuple(sorted({life.pick(HOLDERS)}))
    terms = HolderTerms(pro_rata=pro_rata, sale_share_needed=life.pick([None, Decimal("0.75")]))
    life.act(holder_commands.AgreeHolderTerms, terms=terms, approval=acts.PAPERS[2])


def finance(life):
    key = life.number("fin")
    if life.pick([True, False, False]):
        agree_terms(life)
    if life.issuer.find_open_financing() is None:
        life.act(
            commands.OpenFinancing, financing_id=key, name=life.pick(acts.NAMES), terms=draft_round(life), at=life.time
        )
    key = life.issuer.find_open_financing().opened.financing_id
    for offer in life.issuer.financings[key].opened.pro_rata:
        amount = life.pick([Decimal(0), offer.amount_max_usd])
        life.act(
            holder_commands.AnswerProRata, financing_id=key, holder_id=offer.holder_id, amount_usd=amount, at=life.time
        )
    after = life.pick(["open", "abandon", *["close"] * 6])
    if after == "abandon":
        life.act(commands.AbandonFinancing, financing_id=key, reason="no lead")
    if after != "close":
        return
    instruments = list_converting(life)
    life.act(commands.PriceFinancing, financing_id=key, instruments=instruments, at=life.time)
    before = life.issuer
    approval = acts.PAPERS[2]
    life.act(commands.CloseFinancing, financing_id=key, instruments=instruments, approval=approval, at=life.time)
    life.together()
    for conversion in list_conversions(before, key):
        life.deed(conversion)
        track(life, conversion.instrument_id)
    acts.vest_warrants(life)


def sell(life):
    key, instruments = life.number("liq"), list_converting(life)
    stock = commands.BuyerStock(buyer="Käufer AG", price_usd_per_share=Decimal("17.31"))
    life.act(
        commands.DeclareLiquidity,
        liquidity_id=key,
        proceeds_usd=Decimal(life.pick(["0.01", "5000000", "1000000000000"])),
        instruments=instruments,
        at=life.time,
        safe_seniority=life.pick([None, 0, 5]),
        stock=life.pick([None, stock]),
    )
    if life.pick([True, False]):
        life.act(commands.WithdrawLiquidity, liquidity_id=key, cause="agreed", reason="no money", at=life.time)
    elif life.pick([False, True]):
        life.pay_sale(key)


OF_COMPANY = (
    acts.add_stakeholder,
    acts.create_common,
    acts.create_preferred,
    *(acts.issue_stock,) * 4,
    *(acts.transfer,) * 3,
    acts.offer,
    *(acts.repurchase,) * 2,
    *(acts.split,) * 2,
    acts.convert_stock,
    acts.adjust_authorised,
    acts.adjust_plan,
    acts.promise,
    acts.withdraw_promise,
    *(acts.grant,) * 2,
    *(acts.exercise_option,) * 2,
    acts.transfer_option,
    acts.cancel_option,
    *(acts.issue_warrant,) * 2,
    acts.vest_warrants,
    *(acts.exercise_warrant,) * 2,
    acts.expire_warrant,
    acts.value,
    play_customer_warrant,
)
OF_DEALS = (
    pass_on,
    limit_dilution,
    *(sign,) * 4,
    *(buy_warrant,) * 2,
    *(accrue,) * 4,
    *(reverse,) * 3,
    *(pay_debt,) * 2,
    suspend,
    resume,
    lapse,
    reduce,
    *(amend,) * 2,
    cancel,
    *(elect,) * 2,
    *(mature,) * 2,
    repay,
    *(finance,) * 3,
    sell,
)


def live_at_random(random, steps):
    """Return a company after so many attempts to do something, refused ones among them."""
    life = RandomLife(random)
    for begin in (acts.form, *(acts.add_stakeholder,) * 6, acts.create_common, acts.adjust_plan, acts.issue_stock):
        if begin is acts.form or random.random() < 0.9:
            life.attempt(begin)
    for _ in range(steps):
        life.attempt(random.choice(OF_COMPANY + OF_DEALS))
    return life
