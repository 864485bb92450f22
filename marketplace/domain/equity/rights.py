"""The table of rights: who must agree before an act on an issuer changes what someone owns, owes or was promised.

Rights are read from the events that an act would record, so that no route can avoid them. A party that is here agrees
with its own key. A holder that is not here (``stk_…``, or imported with the id of a party that is not registered)
cannot; the company answers for it and names the document. Its shares count in a drag-along as the company states, and
never outvote those who are here. The platform's operator
decides without agreement; its events name the platform as their actor.

A *vote* asks every group of security holders that are parties here: the holders of each class of stock, of instruments
by their outstanding principal, of commitments by what may still be drawn under them, of options, of warrants, and of
warrants that have not vested. Principal counts by the part of the company that it buys at its cap or price
(`scale_principal`; ADR 21 says why), options and warrants by what they are worth (`weigh_rights`). Each group agrees by
more than half of its weight. Those of a group who refuse are bound by its majority. Where parties in a group are
related to the company, or in a sale to the buyer, those who are not also agree by more than half of their own weight.
So do those who are disinterested; see `marketplace.domain.equity.disinterest`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from math import ceil
from types import MappingProxyType
from typing import Any, Final, NamedTuple, get_args

from msgspec import structs

from events.financing import PayToPlayDuty, RoundPricing
from events.instrument import (
    InstrumentAmended,
    InstrumentIssued,
    InstrumentMfnNoticed,
    InstrumentPrincipalReversed,
    InstrumentRepaid,
    InstrumentTransferred,
)
from events.issuer import (
    IssuerAuthorisedSharesAdjusted,
    IssuerDilutionLimited,
    IssuerEvent,
    IssuerExposureRecorded,
    IssuerFinancingClosed,
    IssuerFirstRefusalExercised,
    IssuerHolderTermsAgreed,
    IssuerInstrumentSigned,
    IssuerLiquidityDeclared,
    IssuerLiquidityWithdrawn,
    IssuerMilestoneAttested,
    IssuerOptionCancelled,
    IssuerOptionExercised,
    IssuerOptionGranted,
    IssuerOptionPromised,
    IssuerOptionPromiseWithdrawn,
    IssuerOptionTransferred,
    IssuerPriceCorrected,
    IssuerPriceObserved,
    IssuerPriceSourceNamed,
    IssuerProgrammeGrantAdded,
    IssuerProposalCounted,
    IssuerProRataAnswered,
    IssuerPurchasesStated,
    IssuerRefusalCounted,
    IssuerStakeholderAdded,
    IssuerStockClassCreated,
    IssuerStockConverted,
    IssuerStockIssued,
    IssuerStockOffered,
    IssuerStockOfferWithdrawn,
    IssuerStockPlanAdjusted,
    IssuerStockRepurchased,
    IssuerStockSplit,
    IssuerStockTransferred,
    IssuerWarrantCancelled,
    IssuerWarrantExercised,
    IssuerWarrantIssued,
    IssuerWarrantPriced,
    IssuerWarrantReleased,
    IssuerWarrantTransferred,
    IssuerWarrantVested,
    IssuerWarrantVestingReversed,
)
from events.issuer_dilution import Exposure
from events.issuer_holders import Depth, HolderTerms
from events.mandate import MandateBudgetHeld
from events.proposal import Consent, Voter
from events.types import Event, NoteTerms, PricedTerms, PrincipalTerms, SafeTerms, StockTerms
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id, rename_id
from marketplace.core.money import CENT, ZERO
from marketplace.domain.equity.disinterest import (
    ANYONE,
    Prices,
    is_bought,
    is_fair_investment,
    is_fair_stock,
    list_leaning,
    list_round_gain,
)
from marketplace.domain.equity.giving import list_unpaid_principal
from marketplace.domain.equity.information import choose_depth
from marketplace.domain.equity.instrument.clawback import SETTLED_AFTER
from marketplace.domain.equity.instrument.mfn import is_better
from marketplace.domain.equity.instrument.notes import hastens_repayment
from marketplace.domain.equity.issuer.as_converted import (
    find_preference,
    list_protected,
    measure_company,
    measure_stock,
)
from marketplace.domain.equity.issuer.commands import IssuerCommand
from marketplace.domain.equity.issuer.dilution import (
    find_price,
    gives_more,
    list_claims,
    list_principal,
    list_senior,
    measure_balance,
    scale_principal,
    undercuts_holders,
    undercuts_paid,
    value_offer,
)
from marketplace.domain.equity.issuer.financing.pro_rata import is_redemption, list_entitled
from marketplace.domain.equity.issuer.holder_commands import AgreeHolderTerms
from marketplace.domain.equity.issuer.programme_commands import NamePriceSource, OpenProgramme
from marketplace.domain.equity.issuer.rights.fair_value import (
    VALID,
    find_buyout_price,
    find_class_price,
    find_interested,
    find_mean_price,
    find_value_for_warrant,
)
from marketplace.domain.equity.issuer.rights.vesting import count_exercisable
from marketplace.domain.equity.issuer.rights.votes import find_known_price, weigh_rights
from marketplace.domain.equity.issuer.rights.warrant_terms import list_attesters
from marketplace.domain.equity.issuer.rights_commands import ExerciseOption, IssueWarrant
from marketplace.domain.equity.issuer.rules import is_main_class
from marketplace.domain.equity.issuer.sale.payouts import list_option_grants
from marketplace.domain.equity.issuer.state import (
    RUN,
    Financing,
    Issuer,
    StockClass,
    Warrant,
    list_live_warrants,
    list_parties,
    measure_ownership,
)
from marketplace.domain.equity.issuer.stock_commands import (
    ConvertStock,
    OfferStock,
    RepurchaseStock,
    TransferStock,
    WithdrawOffer,
)
from marketplace.domain.equity.preemption import (
    REFUSED_FOR,
    SMALL,
    Hearing,
    Issue,
    hear,
    list_harmed,
    list_outweighed,
)
from marketplace.domain.equity.proposal import DECIDE_WITHIN, PRO_RATA, WAIVED_AFTER, has_majority, list_missing
from marketplace.domain.equity.rights_beside_equity import BESIDE_EQUITY, StatedRight
from marketplace.domain.register import Register


class Setting(NamedTuple):
    """An act, and all that decides who must agree to it.

    Attributes:
        issuer: The issuer before it.
        company_id: The startup's party.
        effects: Every event that it would record, in order.
        at: Now. A warrant that has expired does not vote.
        buyer: The issuer whose stock buys this one; None if there is none in this market.
        outstanding: Outstanding principal in USD by instrument of issuer and buyer; without an entry, all that may
            still become equity counts as outstanding.
        register: Who is related to whom.
        asked: As the proposal takes effect, who agreed or might have refused its issue; None: it is proposed.
        unregistered: Imported holders with the id of a party that is not here. Like those without a key, they do not
            vote.
        assuming: The issuer of this market that takes over this one's capacity; None if there is none.
    """

    issuer: Issuer
    company_id: str
    effects: Sequence[Event]
    at: datetime
    buyer: Issuer | None = None
    outstanding: Mapping[str, Decimal] = MappingProxyType({})
    register: Register = Register()
    asked: frozenset[str] | None = None
    unregistered: frozenset[str] = frozenset()
    assuming: Issuer | None = None

    @property
    def again(self) -> bool:
        """Return whether the proposal now takes effect, so that those who were asked have agreed."""
        return self.asked is not None

    @property
    def related(self) -> frozenset[str]:
        """Return the ids of the company, of the sides of its sale, and of all whom firm relations connect with them."""
        sides = {self.company_id, *_list_sides(self.effects)}
        return frozenset().union(*(self.register.list_group(each) for each in sides))


def _list_sides(effects: Iterable[Event]) -> Iterable[str]:
    """Yield the parties of this market between which a sale of the company is agreed on."""
    for event in effects:
        if isinstance(event, IssuerLiquidityDeclared):
            stock, assumed = event.waterfall.stock, event.assumed
            buyers = (None if stock is None else stock.buyer_issuer_id, None if assumed is None else assumed.issuer_id)
            yield from (rename_id("pty", each) for each in (event.issuer_id, *buyers) if each is not None)


COMPANY_ACT: Final = "company_act"
"""The right behind what the company records about itself, which no row of the table names."""


class Asked(NamedTuple):
    """Who must agree to one event.

    Attributes:
        holders: Those whose own position it changes. The parties among them are asked, each alone, and the company for
            those who have no key here.
        company: Whether the company must agree.
        vote: Whether all groups of security holders vote.
        sale: Whether they vote by the thresholds of a sale, with the directors and a buyer that issues its stock.
        terms: Whether they vote on other holder terms, by the majorities that the terms in force require for a sale.
        gain: Who is not disinterested in the vote, besides those who are related to it. `ANYONE`: it is not known.
        offered: The weight of investors who might buy their part. Their silence waives it after `WAIVED_AFTER`.
        share: The least share of that weight that does not refuse.
        notified: Holders whose position it changes by what they agreed to before. They may refuse for `WAIVED_AFTER`.
    """

    holders: tuple[str, ...] = ()
    company: bool = False
    vote: bool = False
    sale: bool = False
    terms: bool = False
    gain: tuple[str, ...] = ()
    offered: Mapping[str, int] = MappingProxyType({})
    share: Decimal = Decimal(1)
    notified: tuple[str, ...] = ()


class Right(NamedTuple):
    """One row of the table of rights.

    Attributes:
        name: Its name, in consents.
        act: What is done.
        proposes: Who may propose it.
        agrees: Who must agree.
        unless: When some or all of them need not agree.
        who: Reads from an event who must agree.
        silence: How long it may wait, and what silence means.
    """

    name: str
    act: str
    proposes: str
    agrees: str
    unless: str
    who: Callable[[Any, Setting], Asked]
    silence: str = f"{DECIDE_WITHIN.days} days, then the proposal lapses"


def _issue(event: IssuerStockIssued, setting: Setting) -> Asked:
    if event.cause is not None:
        return Asked()  # what it follows from is asked about: a round, a split, an exercise, an instrument
    prices = _list_prices(setting, event.holder_id)
    gain = () if is_fair_stock(prices, event.class_id, event.price_usd_per_share) else (event.holder_id,)
    terms = StockTerms(class_id=event.class_id, price_usd_per_share=event.price_usd_per_share)
    return _ask_about_sale(event.holder_id, setting, gain, terms)


def _ask_about_sale(
    holder_id: str,
    setting: Setting,
    gain: tuple[str, ...],
    terms: PrincipalTerms | None = None,
    *,
    strike: StockTerms | None = None,
    shares: Fraction | None = None,
    outweighed: frozenset[str] = frozenset(),
) -> Asked:
    """Ask about stock, or what becomes stock, that somebody buys without a round; others might buy their part.

    So may who holds rights that the price, or the `strike` of a warrant, undercuts.

    As it takes effect, investors that joined meanwhile are asked too, unless its `terms` give less than they got for
    their money; and those whom it outweighs by then. For `shares` see `Issue`. Holders whose stock is protected against
    the price agree themselves: only a round lowers their conversion price.
    """
    named = _list_named_by_terms(setting)
    if isinstance(terms, PricedTerms):
        named += list_protected(setting.issuer, terms.class_id, find_price(setting.issuer, terms))
    offered = _list_others(setting, {holder_id, *named})
    offered += _list_undercut_rights(setting, terms if strike is None else strike, {holder_id, *named, *offered})
    takers = setting.related.union(*(setting.register.list_group(each) for each in {holder_id, *gain}))
    issue = Issue(terms, takers, shares, outweighed)
    if setting.asked is not None:
        joined = dict.fromkeys(sorted(list_harmed(setting.issuer, issue, offered) - setting.asked), 1)
        return Asked((holder_id, *named), company=True, vote=True, gain=gain, offered=joined)
    apart, weights, share = hear(setting.issuer, issue, offered, setting.at)
    return Asked((holder_id, *named, *apart), company=True, vote=True, gain=gain, offered=weights, share=share)


def _list_undercut_rights(setting: Setting, terms: PrincipalTerms | None, beside: Collection[str]) -> list[str]:
    """Return who holds rights to buy stock at more than an issue's price, which others' free rights would outvote.

    Of options, only what may be exercised and costs less than the best known price of a share.
    """
    issuer, today = setting.issuer, setting.at.date()
    if terms is None:
        return []
    holders = {each.holder_id for each in issuer.warrants.values() if each.shares_outstanding and not each.expired}
    known, value = find_known_price(issuer, setting.related, setting.at), value_offer(issuer, terms)
    holders |= {
        each.holder_id
        for each in issuer.options.values()
        if each.exercise_price_usd < known
        and (value is None or value < each.exercise_price_usd * measure_company(issuer))
        and (each.exercisable_until is None or today <= each.exercisable_until)
        and count_exercisable(each, today)
    }
    others = sorted(each for each in holders - {*beside} if _is_party(each, setting))
    return [each for each in others if undercuts_paid(issuer, terms, each)]


def _list_prices(setting: Setting, *buyers: str) -> Prices:
    """Return the prices of a share that those who would get stock, and those related to the company, did not make."""
    interested = setting.related.union(*(setting.register.list_group(each) for each in buyers))
    return Prices(setting.issuer, interested, setting.at.date())


def _list_others(setting: Setting, asked: Collection[str]) -> list[str]:
    """Return the investors that may refuse an issue, besides those who are asked by themselves."""
    return [each for each in list_entitled(setting.issuer) if each not in asked and _is_party(each, setting)]


def _list_named_by_terms(setting: Setting) -> tuple[str, ...]:
    """Return the holders that holder terms give a pro rata right, without those that hold nothing any more."""
    return tuple(each for each in list_entitled(setting.issuer) if each in setting.issuer.holder_terms.pro_rata)


def _repurchase(event: IssuerStockRepurchased, setting: Setting) -> Asked:
    split = next((each for each in setting.effects if isinstance(each, IssuerStockSplit)), None)
    if split is None or event.cause != split.split_id:
        price = event.price_usd_per_share
        dear = _is_dear(event.holder_id, event.class_id, price, setting)
        votes = dear or not _is_party(event.holder_id, setting)
        asked = Asked((event.holder_id,), company=True, vote=votes, gain=(event.holder_id,) if dear else ())
        return asked if event.cause in setting.issuer.instruments else _ask_others(asked, event, price, setting)
    fair = find_buyout_price(setting.issuer, event.holder_id, event.class_id, setting.related, setting.at.date())
    few = 0 if _is_consolidated(setting.issuer) else _FEW
    is_few = event.shares <= setting.issuer.classes[event.class_id].shares_outstanding * few
    is_fair = fair is not None and event.price_usd_per_share >= fair
    return Asked() if is_few and is_fair else Asked((event.holder_id,))


def _ask_others(
    asked: Asked, event: IssuerStockRepurchased | IssuerStockTransferred, price_usd: Decimal, setting: Setting
) -> Asked:
    """Ask also the classes, and let the other investors refuse, where an investor has its money back alone."""
    if not is_redemption(setting.issuer, event.holder_id, event.class_id, event.shares, Fraction(price_usd)):
        return asked
    return _ask_investors(asked, event.holder_id, setting)


def _ask_investors(asked: Asked, holder_id: str, setting: Setting) -> Asked:
    """Ask the classes too, and let the other investors refuse what takes from all of them: money, or stock for less."""
    others = _list_others(setting, {holder_id, *asked.holders})
    asked = asked._replace(vote=True, gain=(holder_id,), share=Decimal(1))
    issue = Issue(None, setting.related | setting.register.list_group(holder_id))
    if setting.asked is not None:
        return asked._replace(offered=dict.fromkeys(sorted(set(others) - setting.asked), 1))
    apart, left, _ = hear(setting.issuer, issue, others, setting.at)
    return asked._replace(holders=(*asked.holders, *apart), offered=dict.fromkeys(left, 1))


def _is_dear(holder_id: str, class_id: str, price_usd: Decimal, setting: Setting) -> bool:
    """Return whether the company pays a holder more than it paid on average, and more than a fair price."""
    paid = find_mean_price(setting.issuer, holder_id, class_id, by_rights=True)
    interested = setting.related | setting.register.list_group(holder_id)
    fair = find_class_price(setting.issuer, class_id, interested, setting.at.date())
    return price_usd > max(paid, fair or 0)


def _transfer(event: IssuerStockTransferred, setting: Setting) -> Asked:
    """Ask nobody about stock that was offered and a party takes, which pays for it in the same append.

    Only where the class has a right of first refusal may that be another party than the offer names. The company's own
    stock was bought back, so that passing it on takes the same agreements as an issue of it.
    """
    if event.holder_id == setting.company_id:
        return _issue(_build_reissue(event, setting), setting)
    exercised = any(isinstance(each, IssuerFirstRefusalExercised) for each in setting.effects)
    offer = setting.issuer.offers.get(event.transfer_id)
    named = offer is not None and offer.offered.holder_id_after == event.holder_id_after
    is_gift = offer is not None and not offer.offered.price_usd_per_share
    may_take = named or (setting.issuer.classes[event.class_id].created.first_refusal and not is_gift)
    taken = exercised and may_take and _is_party(event.holder_id_after, setting)
    joins = _is_party(event.holder_id_after, setting) and not _is_party(event.holder_id, setting)
    bought = event.holder_id_after == setting.company_id
    price = Decimal(0) if offer is None else offer.offered.price_usd_per_share
    dear = bought and offer is not None and _is_dear(event.holder_id, event.class_id, price, setting)
    asked = () if taken else (event.holder_id, event.holder_id_after)
    gain = event.holder_id if dear else event.holder_id_after
    found = Asked(asked, company=True, vote=joins or dear, gain=(gain,))
    return _ask_others(found, event, price, setting) if bought else found


def _build_reissue(event: IssuerStockTransferred, setting: Setting) -> IssuerStockIssued:
    """Return the issue that a transfer of the company's own stock amounts to, at the price that it was offered at."""
    offer = setting.issuer.offers.get(event.transfer_id)
    return IssuerStockIssued(
        issuer_id=event.issuer_id,
        security_id=event.transfer_id,
        holder_id=event.holder_id_after,
        class_id=event.class_id,
        shares=event.shares,
        price_usd_per_share=Decimal(0) if offer is None else offer.offered.price_usd_per_share,
    )


def _is_party(holder_id: str, setting: Setting) -> bool:
    """Return whether a holder votes: it is a party of this market, and not the company."""
    return is_id(holder_id, "pty") and holder_id not in {setting.company_id, *setting.unregistered}


def _split(event: IssuerStockSplit, setting: Setting) -> Asked:
    """Ask also those who lose a thousandth or more: others are rounded up, or their own rights down.

    So are holders of instruments that buy fewer than `SHARES_BOUGHT_MIN` shares then: they may get a hundredth less.

    Of a company that made a consolidation before, those who lose anything: many small losses take a whole stake. If
    fewer than `SHARES_LEFT_MIN` shares are left of more, everybody: they are too coarse for what others convert or buy.
    At the effect, rights that are rounded down and were not before became so by their holder's own exercise. It is not
    asked, so that nobody stops a consolidation by exercising one share.
    """
    filled: dict[tuple[str, str], int] = {}
    grown: dict[str, int] = {}
    for each in setting.effects:
        if isinstance(each, IssuerStockIssued) and each.cause == event.split_id:
            filled[each.holder_id, each.class_id] = each.shares
            grown[each.class_id] = grown.get(each.class_id, 0) + each.shares
    shrunk = []
    for (holder_id, class_id), shares in sorted(setting.issuer.holdings.items()):
        before = setting.issuer.classes[class_id].shares_outstanding
        after = Fraction(shares + filled.get((holder_id, class_id), 0), before + grown.get(class_id, 0))
        if _is_less(after, Fraction(shares, before), setting.issuer):
            shrunk.append(holder_id)
    ratio = Fraction(event.numerator, event.denominator)
    shrunk += () if setting.again else _list_trimmed(setting.issuer, ratio)
    shrunk += _list_coarsened(setting.issuer, ratio)
    shares = sum(setting.issuer.holdings.values())
    if shares * ratio < SHARES_LEFT_MIN <= shares:
        shrunk += sorted(list_parties(setting.issuer))
    return Asked(tuple(shrunk), company=True, vote=event.numerator < event.denominator)


def _cancel_option(event: IssuerOptionCancelled, setting: Setting) -> Asked:
    """Ask the holder, as `_split` does if a consolidation cancels what would be a fraction.

    Of an option that depends on service it may refuse that its service ended, and is not asked once its days are over.
    """
    rounded = setting.again and any(isinstance(each, IssuerStockSplit) for each in setting.effects)
    until = setting.issuer.options[event.option_id].exercisable_until
    is_over = event.kind == "expired" and until is not None and setting.at.date() > until
    if event.service_ended_on is not None and _is_party(event.holder_id, setting):
        return Asked(company=True, notified=() if setting.again else (event.holder_id,))
    return Asked(() if rounded or is_over else (event.holder_id,), company=True)


def _list_trimmed(issuer: Issuer, ratio: Fraction) -> Iterable[str]:
    """Yield the holders of rights that a consolidation rounds down by a thousandth or more."""
    rights = [
        *((each.holder_id, each.shares_outstanding) for each in issuer.warrants.values()),
        *((each.holder_id, each.shares_outstanding) for each in issuer.options.values()),
        *((issuer.promised[promise_id].holder_id, shares) for promise_id, shares in issuer.promises.items()),
    ]
    for holder_id, shares in sorted(rights):
        if shares and _is_less(Fraction(shares * ratio // 1), shares * ratio, issuer):
            yield holder_id


def _list_coarsened(issuer: Issuer, ratio: Fraction) -> list[str]:
    """Return the holders of instruments that buy fewer than `SHARES_BOUGHT_MIN` shares after a consolidation."""
    shares = measure_company(issuer) * ratio if ratio < 1 else Fraction(0)
    return [holder_id for holder_id, part in list_claims(issuer) if 0 < part * shares < SHARES_BOUGHT_MIN]


def _is_less(after: Fraction, before: Fraction, issuer: Issuer) -> bool:
    """Return whether a consolidation takes a part that its holder is asked about."""
    return after < before if _is_consolidated(issuer) else after <= before * _SHRUNK_MAX


def _is_consolidated(issuer: Issuer) -> bool:
    """Return whether a company made a consolidation before."""
    return any(isinstance(act, IssuerStockSplit) and act.numerator < act.denominator for act in issuer.acts.values())


def _withdraw_promise(event: IssuerOptionPromiseWithdrawn, setting: Setting) -> Asked:
    return Asked((setting.issuer.promised[event.promise_id].holder_id,), company=True)


def _adjust_authorised(event: IssuerAuthorisedSharesAdjusted, setting: Setting) -> Asked:
    stock_class = setting.issuer.classes[event.class_id]
    own = event.cause is None  # else a consolidation asks by itself, or a holder uses a right that it has
    return Asked(company=own, vote=own and event.shares_authorised < stock_class.shares_authorised)


def _convert(event: IssuerStockConverted, setting: Setting) -> Asked:
    if event.reason == "pay_to_play":
        return Asked()
    strays = not is_main_class(setting.issuer, event.class_id_after)
    return Asked((event.holder_id,), company=strays, vote=strays, gain=(event.holder_id,))


def _close(event: IssuerFinancingClosed, setting: Setting) -> Asked:
    """Ask the investors; also those whose instruments convert, if unrelated parties here buy next to nothing.

    Or if they get a lower preference than what they paid. Who took a part by right may refuse what was signed since.
    """
    financing = setting.issuer.financings[event.financing_id]
    asked = [each.holder_id for each in financing.opened.terms.investments]
    pricing = financing.pricing
    assert pricing is not None, "a round is closed at a price"
    paying = (each for each in pricing.allotments if _is_party(each.holder_id, setting))
    bought = sum(each.shares for each in paying if each.holder_id not in setting.related)
    if not is_bought(setting.issuer, pricing, bought) or financing.terms.liquidation_multiple < 1:
        asked += [each.holder_id for each in pricing.conversions]
    asked += _list_overcharged(financing, pricing, setting)
    buyers = tuple(each.holder_id for each in pricing.allotments)
    gain = list_round_gain(financing, pricing, _list_prices(setting, *buyers), setting.related, setting.register)
    is_diluted = financing.terms.pricing_convention != "percent_ownership" and not setting.again
    outdated = tuple(sorted(financing.outdated)) if is_diluted else ()
    return Asked(tuple(asked), company=True, vote=True, gain=gain, notified=outdated)


def _list_overcharged(financing: Financing, pricing: RoundPricing, setting: Setting) -> list[str]:
    """Return who loses preferred stock in a round by a duty above its part of the parties' money, or above others'."""
    paying = (each for each in financing.terms.investments if _is_party(each.holder_id, setting))
    money = sum((Fraction(each.amount_usd) for each in paying), Fraction(0))
    forfeiting = {each.holder_id for each in pricing.forfeits}
    owned, terms = measure_ownership(setting.issuer, setting.at), financing.terms.pay_to_play
    duties = () if terms is None else terms.duties
    return [
        duty.holder_id
        for duty in duties
        if duty.holder_id in forfeiting
        and (
            duty.obligation_usd > owned.get(duty.holder_id, Fraction(0)) * money
            or _is_singled_out(duty, duties, setting)
        )
    ]


def _is_singled_out(duty: PayToPlayDuty, duties: Sequence[PayToPlayDuty], setting: Setting) -> bool:
    """Return whether another party has no duty for the class, or a lower one per share, by more than a cent."""
    owed = {each.holder_id: each.obligation_usd for each in duties if each.class_id == duty.class_id}
    held = setting.issuer.holdings.get((duty.holder_id, duty.class_id), 0)
    return any(
        holder_id not in owed or (owed[holder_id] + CENT) * held < duty.obligation_usd * shares
        for (holder_id, class_id), shares in setting.issuer.holdings.items()
        if class_id == duty.class_id and holder_id != duty.holder_id and shares and _is_party(holder_id, setting)
    )


def _create_class(event: IssuerStockClassCreated, setting: Setting) -> Asked:
    closing = _is_closing(setting)
    return Asked(company=True, vote=event.kind == "preferred" and not closing)


def _adjust_plan(event: IssuerStockPlanAdjusted, setting: Setting) -> Asked:
    """Ask about a pool that grows. Those who bear more than a tenth may refuse a large one."""
    grows = event.shares_reserved > setting.issuer.shares_reserved and event.cause is None
    asked = Asked(company=True, vote=grows, gain=(ANYONE,))
    if not grows or event.shares_reserved <= (measure_stock(setting.issuer) + event.shares_reserved) * SMALL:
        return asked
    others = _list_others(setting, ())
    if setting.asked is not None:
        return asked._replace(offered=dict.fromkeys(sorted(set(others) - setting.asked), 1))
    apart, weights, share = hear(setting.issuer, Issue(None, setting.related, fulfils=True), others, setting.at)
    return asked._replace(holders=apart, offered=weights, share=share)


def _is_closing(setting: Setting) -> bool:
    return any(isinstance(each, IssuerFinancingClosed) for each in setting.effects)


def _issue_warrant(event: IssuerWarrantIssued, setting: Setting) -> Asked:
    stock_class = setting.issuer.classes[event.class_id]
    shares = None if _is_below_preference(event, stock_class) else event.shares * stock_class.conversion_ratio
    protected = list_protected(setting.issuer, event.class_id, Fraction(_find_strike(event)))
    strike = StockTerms(class_id=event.class_id, price_usd_per_share=_find_strike(event))
    asked = _ask_about_sale(event.holder_id, setting, (event.holder_id,), strike=strike, shares=shares)
    return asked._replace(holders=(*asked.holders, *protected, *sorted(list_attesters(event.tranches))))


def _is_below_preference(event: IssuerWarrantIssued, stock_class: StockClass) -> bool:
    """Return whether a share gets more before common stock than a warrant pays for it."""
    return find_preference(stock_class) > _find_strike(event)


def _find_strike(event: IssuerWarrantIssued) -> Decimal:
    """Return the lowest USD at which a warrant buys a share; a later price counts as 0."""
    stated = [ZERO if each.later_price is not None else each.exercise_price_usd for each in event.tranches]
    prices = (event.exercise_price_usd if each is None else each for each in stated)
    return min(prices, default=event.exercise_price_usd)


def _exercise_warrant(event: IssuerWarrantExercised, setting: Setting) -> Asked:
    warrant = setting.issuer.warrants[event.warrant_id]
    on_day, fair = setting.at.date(), None
    if event.fair_value_usd is not None:
        interested = find_interested(warrant, setting.company_id, setting.register)
        fair = find_value_for_warrant(setting.issuer, warrant, interested, on_day)
    asked = Asked((event.holder_id,))
    return asked if fair is None or fair.is_independent else _ask_investors(asked, event.holder_id, setting)


def _transfer_warrant(event: IssuerWarrantTransferred, setting: Setting) -> Asked:
    sides, stated = (event.holder_id, event.holder_id_after), event.relation == "stated"
    joins = _is_party(event.holder_id_after, setting) and not _is_party(event.holder_id, setting)
    asks = stated or not all(_is_party(each, setting) for each in sides)
    return Asked(sides, company=asks, vote=joins, gain=(event.holder_id_after,))


def _attest(event: IssuerMilestoneAttested, _: Setting) -> Asked:
    return Asked(() if event.attester_id is None else (event.attester_id,))


def _add_grant(event: IssuerProgrammeGrantAdded, setting: Setting) -> Asked:
    """Ask about what was delivered before, which may vest a warrant at once, as about purchases elsewhere."""
    return _count_purchases(event, setting) if event.delivered_before else Asked()


def _count_purchases(event: IssuerProgrammeGrantAdded | IssuerPurchasesStated, setting: Setting) -> Asked:
    """Ask the sides; if warrants count it, also their holders, the groups, and the investors as for such a warrant."""
    counting = [
        warrant
        for _, warrant in list_live_warrants(setting.issuer, setting.at)
        if warrant.issued.programme_id == event.programme_id
    ]
    holders = tuple(warrant.holder_id for warrant in counting)
    asked = Asked((event.customer_id, event.vendor_id, *holders), company=True, vote=bool(holders), gain=holders)
    if not counting:
        return asked
    others = _list_others(setting, asked.holders)
    if setting.asked is not None:
        return asked._replace(offered=dict.fromkeys(sorted(set(others) - setting.asked), 1))
    takers = setting.related.union(*(setting.register.list_group(each) for each in holders))
    issue = Issue(None, takers, fulfils=all(_costs_preference(each, setting.issuer) for each in counting))
    apart, weights, share = hear(setting.issuer, issue, others, setting.at)
    return asked._replace(holders=(*asked.holders, *apart), offered=weights, share=share)


def _costs_preference(warrant: Warrant, issuer: Issuer) -> bool:
    """Return whether every tranche of a warrant costs at least what its share gets before common stock."""
    prices = (each.price_usd or Fraction(0) for each in warrant.tranches)
    return find_preference(issuer.classes[warrant.issued.class_id]) <= min(prices, default=Fraction(0))


def _name_source(event: IssuerPriceSourceNamed, _: Setting) -> Asked:
    return Asked(() if event.recorder_id is None else (event.recorder_id,), company=True, vote=True)


def _correct_price(event: IssuerPriceCorrected, setting: Setting) -> Asked:
    holders = [setting.issuer.warrants[warrant_id].holder_id for warrant_id in event.used_by]
    return Asked(tuple(dict.fromkeys(holders)), company=bool(holders))


def _nobody(_: Event, __: Setting) -> Asked:
    return Asked()


def _reduce(event: InstrumentPrincipalReversed, _: Setting) -> Asked:
    return Asked((event.holder_id,))


def _holder(event: Any, _: Setting) -> Asked:
    return Asked((event.holder_id,), company=True)


def _exercise_option(event: IssuerOptionExercised, setting: Setting) -> Asked:
    """Ask the company only where it answers for the holder, or the holder chooses another class than the largest.

    A party that chooses another class would vote in it, so that the others vote on that.
    """
    votes, strays = _is_party(event.holder_id, setting), not is_main_class(setting.issuer, event.class_id)
    return Asked((event.holder_id,), company=not votes or strays, vote=votes and strays, gain=(event.holder_id,))


def _join(event: IssuerOptionTransferred | InstrumentTransferred, setting: Setting) -> Asked:
    votes = _is_party(event.holder_id_after, setting)
    return Asked((event.holder_id_after,), company=True, vote=votes, gain=(event.holder_id_after,))


def _option(event: IssuerOptionGranted | IssuerOptionPromised, setting: Setting) -> Asked:
    votes = _is_party(event.holder_id, setting) and not _is_fair_option(event, setting)
    by_right = _list_named_by_terms(setting) if votes else ()
    return Asked((event.holder_id, *by_right), company=True, vote=votes, gain=(event.holder_id,))


def _is_fair_option(event: IssuerOptionGranted | IssuerOptionPromised, setting: Setting) -> bool:
    """Return whether an option is exercised at a fair price of common stock, by somebody unrelated to the company."""
    if isinstance(event, IssuerOptionPromised) or event.holder_id in setting.related:
        return False
    prices, price_usd = _list_prices(setting, event.holder_id), event.exercise_price_usd
    common = [name for name, each in setting.issuer.classes.items() if each.created.kind == "common"]
    return any(is_main_class(setting.issuer, name) and is_fair_stock(prices, name, price_usd) for name in common)


def _offer(event: IssuerStockOffered, _: Setting) -> Asked:
    return Asked((event.holder_id,))


def _withdraw_offer(event: IssuerStockOfferWithdrawn, setting: Setting) -> Asked:
    return Asked((setting.issuer.offers[event.transfer_id].offered.holder_id,))


def _take_offered(event: IssuerFirstRefusalExercised, _: Setting) -> Asked:
    return Asked(() if event.holder_id is None else (event.holder_id,), company=True)


def _vote(_: Event, __: Setting) -> Asked:
    return Asked(company=True, vote=True)


def _sell(event: IssuerLiquidityDeclared, setting: Setting) -> Asked:
    """Ask those too who lose principal, a note's interest or a preference: no vote of others takes it from them."""
    left = list_unpaid_principal(event)
    losers = {each.holder_id for each in event.waterfall.instruments if left[each.instrument_id] > ZERO}
    losers |= _list_outranked(event, setting.issuer) | _list_unpaid(event) | _list_unexercised(event, setting)
    return Asked(tuple(sorted(losers)), company=True, sale=True)


def _list_unpaid(event: IssuerLiquidityDeclared) -> set[str]:
    """Return the holders of notes if nothing is left for others, so that interest may not be paid in full."""
    notes = {
        each.instrument_id: each.holder_id for each in event.waterfall.instruments if isinstance(each.terms, NoteTerms)
    }
    is_left = any(each.amount_usd for each in event.waterfall.payouts if each.security not in notes)
    return set() if is_left else set(notes.values())


def _list_unexercised(event: IssuerLiquidityDeclared, setting: Setting) -> set[str]:
    """Return whose rights buy a preference for less, and get less in a sale, which pays rights as common stock."""
    worth: dict[tuple[str, str], Fraction] = {}
    for each in list_option_grants(setting.issuer, setting.at, event.pay_until, event.waterfall.proceeds_usd):
        right_id = each.grant_id.partition(RUN)[0]
        warrant = setting.issuer.warrants.get(right_id)
        if warrant is not None:
            gain = find_preference(setting.issuer.classes[warrant.issued.class_id]) - Fraction(each.strike_usd)
            key = each.holder_id, right_id
            worth[key] = worth.get(key, Fraction(0)) + Fraction(each.shares) * max(gain, Fraction(0))
    for payout in event.waterfall.payouts:
        key = payout.holder_id, payout.security
        worth[key] = worth.get(key, Fraction(0)) - Fraction(payout.amount_usd)
    return {holder_id for (holder_id, _), left in worth.items() if left > 0}


def _list_outranked(event: IssuerLiquidityDeclared, issuer: Issuer) -> set[str]:
    """Return the holders of preferred stock which the company ranks behind SAFEs: by itself they rank with it."""
    ranks = {name: each.created.seniority for name, each in issuer.classes.items() if each.created.kind == "preferred"}
    stated = event.waterfall.safe_seniority
    outranked = () if stated is None else [name for name, rank in ranks.items() if rank < stated]
    return {holder_id for (holder_id, class_id), shares in issuer.holdings.items() if class_id in outranked and shares}


def _limit(event: IssuerDilutionLimited, setting: Setting) -> Asked:
    before = setting.issuer.limit
    if before is None or before.dilution_max is None:
        return Asked(company=True, vote=True, gain=(ANYONE,))
    lifted = event.dilution_max is None or event.dilution_max > before.dilution_max
    is_new = not list_parties(setting.issuer) <= setting.issuer.limited or bool(list_senior(setting.issuer))
    joins = event.dilution_max is not None and is_new
    votes = lifted or joins or event.valuation_usd != before.valuation_usd
    return Asked(company=True, vote=votes, gain=(ANYONE,) if votes else ())


def _agree_terms(event: IssuerHolderTermsAgreed, setting: Setting) -> Asked:
    before = setting.issuer.holder_terms
    hastens = event.terms.pro_rata_days < before.pro_rata_days
    kept = () if hastens else list_entitled(setting.issuer, event.terms)
    unnamed = set(_list_named_by_terms(setting)) - set(event.terms.pro_rata)
    waived = set(event.terms.pro_rata_waived) - set(before.pro_rata_waived)  # also one that is no investor yet
    lost = (set(list_entitled(setting.issuer)) - set(kept)) | unnamed | waived
    appointed = set(event.terms.directors) - set(before.directors)
    asked = lost | appointed | _list_shown_less(event.terms, setting.issuer)
    return Asked(tuple(sorted(asked)), company=True, terms=True)


def _list_shown_less(terms: HolderTerms, issuer: Issuer) -> set[str]:
    """Return the parties that would see less of an issuer by other holder terms than now."""
    found = set()
    for party_id in list_parties(issuer):
        classes = [class_id for holder_id, class_id in issuer.holdings if holder_id == party_id]
        now = choose_depth(issuer.holder_terms, classes, is_bound=party_id in issuer.bound)
        after = choose_depth(terms, classes, is_bound=True)
        if max(now, after, key=get_args(Depth).index) != after:
            found.add(party_id)
    return found


def _withdraw_sale(event: IssuerLiquidityWithdrawn, _: Setting) -> Asked:
    return Asked() if event.cause == "overdue" else Asked(company=True, vote=True)


def _invest(event: IssuerInstrumentSigned, setting: Setting) -> Asked:
    fair = is_fair_investment(_list_prices(setting, event.holder_id), event.terms)
    gain = () if fair else (event.holder_id, *_list_favoured(setting))
    takers, outweighed = setting.register.list_group(event.holder_id), frozenset[str]()
    if not isinstance(event.terms, PricedTerms):
        own = Exposure(terms=event.terms, amount_usd=event.commitment_usd, interest_from=setting.at.date())
        outweighed = _list_outweighed(event.instrument_id, event.holder_id, [own], setting)
        if not outweighed and (fair or not undercuts_holders(setting.issuer, event.terms, takers)):
            return Asked((event.holder_id,), company=True, vote=True, gain=gain)
    return _ask_about_sale(event.holder_id, setting, gain, event.terms, outweighed=outweighed)


def _list_electing(setting: Setting) -> dict[str, tuple[str, Fraction]]:
    """Return holder and principal of most-favoured SAFEs that may elect better terms by what is signed or amended."""
    found, issuer = {}, setting.issuer
    for each in setting.effects:
        if isinstance(each, InstrumentMfnNoticed) and offers_better(issuer, each):
            holder_id = issuer.instruments[each.instrument_id].holder_id
            found[each.instrument_id] = holder_id, Fraction(each.principal_usd)
    return found


def offers_better(issuer: Issuer, notice: InstrumentMfnNoticed) -> bool:
    """Return whether a notice offers the holder of a most-favoured SAFE terms that may be better than its own."""
    own = (known.terms for known in issuer.exposures.get(notice.instrument_id, ()))
    return any(isinstance(terms, SafeTerms) and is_better(notice.terms, terms) for terms in own)


def _list_favoured(setting: Setting) -> list[str]:
    return [holder_id for holder_id, _ in _list_electing(setting).values()]


def _list_outweighed(instrument_id: str, holder_id: str, owed: Sequence[Exposure], setting: Setting) -> frozenset[str]:
    """Return the investors to whom an instrument is large; see `preemption`."""
    issuer, since = setting.issuer, setting.at.date() - VALID
    known = list_principal(issuer, since, setting.register.list_group(holder_id))
    principal = {name: (each, usd) for name, each, usd in known} | _list_electing(setting)
    principal[instrument_id] = holder_id, sum((measure_balance(instrument_id, each) for each in owed), Fraction(0))
    prices = _list_prices(setting, holder_id, *_list_favoured(setting))
    investors = _list_others(setting, {holder_id})
    return list_outweighed(issuer, principal, investors, prices.interested, prices.find_independent())


def _repay(event: InstrumentRepaid, setting: Setting) -> Asked:
    if not event.early:
        return Asked()
    return _ask_investors(Asked((event.holder_id,), company=True), event.holder_id, setting)


def _amend(event: InstrumentAmended, setting: Setting) -> Asked:
    signed = setting.issuer.instruments[event.instrument_id]
    holder_id, takers = signed.holder_id, setting.register.list_group(signed.holder_id)
    owed, gain = setting.issuer.exposures.get(event.instrument_id, ()), (holder_id, *_list_favoured(setting))
    after = [structs.replace(each, terms=event.terms) for each in owed]
    balances = [sum(measure_balance(event.instrument_id, each) for each in one) for one in (owed, after)]
    grows = gives_more(event.terms, signed.terms) or balances[1] > balances[0]
    outweighed = _list_outweighed(event.instrument_id, holder_id, after, setting) if grows else frozenset()
    asked = Asked((holder_id,), company=True, vote=True, gain=gain)
    if outweighed or undercuts_holders(setting.issuer, event.terms, takers, signed.terms):
        asked = _ask_about_sale(holder_id, setting, gain, event.terms, outweighed=outweighed)
    is_sooner = hastens_repayment(event.terms, (each.terms for each in owed))
    return _ask_investors(asked, holder_id, setting) if is_sooner else asked


_NONE: Final = "never"
_ENDED: Final = (
    f"{DECIDE_WITHIN.days} days, then the proposal lapses. So that nobody blocks a consolidation for ever, the platform"
    " may then record a valuation, which is an independent price, or decide with a document"
)
_SOLD: Final = (
    f"{DECIDE_WITHIN.days} days, then the proposal lapses. An investor here that does not refuse within"
    f" {WAIVED_AFTER.days} days waives its part: then the act is carried out, and may be refused until it is. An"
    " investor that refuses can be offered its part in a round. Where the act undercuts no investor and is large to"
    " none, or is a warrant of at most a tenth of the stock that costs no less than its preference, it fails only if"
    " those who refuse bear more than a tenth of what all investors paid or hold. A refusal stands for"
    f" {REFUSED_FOR.days} days, unless the investor takes it back; meanwhile silence of that investor agrees to no"
    " warrant, and to nothing that undercuts"
    " it or is large to it; or to no such act at all, if all whose refusals stand bear more than a tenth"
)
_AGREED_BY_SILENCE: Final = (
    f"{DECIDE_WITHIN.days} days, then the proposal lapses. An investor here that does not refuse within"
    f" {WAIVED_AFTER.days} days agrees; the act may be refused until it is carried out. It fails if those who refuse"
    " bear more than a tenth of what all investors paid or hold"
)
_STANDS: Final = (
    f"A refusal stands for {REFUSED_FOR.days} days, unless the investor takes it"
    " back: meanwhile, where the refusals that stand would end the act, the silence of these investors agrees to"
    " nothing"
)
_POOLED: Final = f"{_AGREED_BY_SILENCE}. {_STANDS}"
_STATED: Final = (
    f"{_AGREED_BY_SILENCE}. If a warrant buys a share for less than its preference, it fails at any refusal. {_STANDS}"
)
SHARES_BOUGHT_MIN: Final = 100
"""With fewer shares than this, rounding down takes more than a hundredth of an instrument."""
_PROTECTED: Final = "each holder of stock that is protected against so low a price"
SHARES_LEFT_MIN: Final = 300
"""With fewer shares of stock than this, a round's smaller parts and notes become less than a share."""
_REFUSED_ALONE: Final = (
    f"An investor here that does not refuse within {WAIVED_AFTER.days} days agrees that another one has its money back;"
    f" any refusal ends that, and stands for {REFUSED_FOR.days} days if the company proposed or agreed"
)
_REDEEMED: Final = f"{DECIDE_WITHIN.days} days, then the proposal lapses. {_REFUSED_ALONE}"
_SHRUNK_MAX: Final = Fraction(999, 1_000)
"""A holder that keeps more than this share of its part of a class is not asked when others are rounded up."""
_FEW: Final = Fraction(1, 1_000)
"""A holder is not asked about a consolidation that pays it a fair price for no more than this part of a class."""
RIGHTS: Final[dict[type[Event], Right]] = {
    IssuerStockIssued: Right(
        "issue",
        "stock is issued",
        "company",
        f"the holder; vote; each holder with a pro rata right that holder terms name; {_PROTECTED}. The other investors"
        " may refuse",
        "an instrument, a closed round, an option or a warrant is its cause",
        _issue,
        _SOLD,
    ),
    IssuerStockClassCreated: Right(
        "new_class",
        "a class of stock is created",
        "company",
        "vote on preferred stock",
        "a round creates it",
        _create_class,
    ),
    IssuerStockPlanAdjusted: Right(
        "plan",
        "the pool for employees grows",
        "company",
        "vote. If the pool, with all that was ever granted of it, becomes more than a tenth of stock and pool, the"
        " investors may refuse",
        "it shrinks, or a closed round asks for it",
        _adjust_plan,
        _POOLED,
    ),
    IssuerStockTransferred: Right(
        "transfer",
        "stock changes hands",
        "company, holder",
        "giver, receiver and company; also a vote if a voting party receives it from one that does not vote, or"
        " the company at a dear price. If the company receives it, also the same parties as for a repurchase. If it"
        " passes its own stock on, the same parties as for an issue",
        "a party here takes it by a right of first refusal of the class, and pays the price that it was offered at."
        " Stock of another class, and a gift, for 0, go to nobody but whom the offer names unless the giver agrees",
        _transfer,
        _REDEEMED,
    ),
    IssuerStockRepurchased: Right(
        "repurchase",
        "stock is bought back or cancelled",
        "company, holder",
        "the holder and the company; if the holder has no key here or is the company, a vote in place of the holder;"
        " also a vote, if the price is above what the holder paid on average and above a fair price. Unless founders or"
        " employees who invested nothing give back at cost what they got as such, also a vote, and the other investors"
        " may refuse",
        "a consolidation pays a fair price for a fraction of a share, and takes at most a thousandth of the class from"
        " the holder. A fair price is at least the highest of the independent prices of the last 12"
        " months and the preference of a share, of stock that participates both together; for a fraction, also the"
        " highest that the holder paid",
        _repurchase,
        f"{_ENDED}. {_REFUSED_ALONE}",
    ),
    IssuerStockConverted: Right(
        "conversion",
        "stock is converted",
        "company, holder",
        "the holder; also the company and a vote, if it does not become the largest class of common stock",
        "a round converts the stock of those who do not pay their part; the round's vote decides that",
        _convert,
    ),
    IssuerStockOffered: Right("offer", "stock is offered for sale", "company, holder", "the holder", _NONE, _offer),
    IssuerStockOfferWithdrawn: Right(
        "offer_withdrawal", "an offer of stock is withdrawn", "company, holder", "the holder", _NONE, _withdraw_offer
    ),
    IssuerFirstRefusalExercised: Right(
        "first_refusal",
        "offered stock is taken by the right of first refusal",
        "company",
        "the party that takes it; the company",
        _NONE,
        _take_offered,
    ),
    IssuerStockSplit: Right(
        "consolidation",
        "several shares become one",
        "company",
        "vote. Also each holder whose part shrinks by a thousandth or more because others are rounded up. Also each"
        " holder whose option, warrant or promise is rounded down by a thousandth or more, unless the holder's own"
        f" exercise since the proposal causes that; and whose instrument buys fewer than {SHARES_BOUGHT_MIN} shares"
        " then. From the second consolidation on, whoever loses anything. Also"
        f" every holder, if it leaves fewer than {SHARES_LEFT_MIN} shares of stock",
        "it is a split into more shares",
        _split,
        _ENDED,
    ),
    IssuerAuthorisedSharesAdjusted: Right(
        "authorisation",
        "the authorised shares of a class change",
        "company",
        "vote",
        "they become more; nobody is asked if a consolidation, an exercise, a conversion or stock that was paid for"
        " needs it",
        _adjust_authorised,
    ),
    IssuerOptionPromiseWithdrawn: Right(
        "promise_withdrawal", "a promise of an option is withdrawn", "company", "the holder", _NONE, _withdraw_promise
    ),
    IssuerOptionPromised: Right(
        "promise",
        "an option is promised",
        "company",
        "the holder; if the holder votes, a vote and each holder with a pro rata right that holder terms name",
        _NONE,
        _option,
    ),
    IssuerOptionGranted: Right(
        "option",
        "an option is granted",
        "company",
        "the holder; if the holder votes, a vote and each holder with a pro rata right that holder terms name",
        "its exercise price is a fair price of common stock and its holder is not related to the company: then nobody"
        " but the holder",
        _option,
    ),
    IssuerOptionExercised: Right(
        "option_exercise",
        "an option is exercised",
        "company, holder",
        "the holder; also the company, if the holder has no key here or does not get the largest class of common stock;"
        " then also a vote, if the holder votes",
        _NONE,
        _exercise_option,
    ),
    IssuerOptionTransferred: Right(
        "option_transfer",
        "an option of a holder without a key passes to the party that it is",
        "company",
        "the receiver; vote",
        _NONE,
        _join,
    ),
    IssuerOptionCancelled: Right(
        "option_cancellation",
        "an option is cancelled",
        "company",
        "the holder",
        "its grant states `termination_exercise_days`, and these are over since the holder's service ended",
        _cancel_option,
        f"{DECIDE_WITHIN.days} days, then the proposal lapses. Under such a grant, what has not vested is"
        f" forfeited when service ends: the holder may refuse that for {WAIVED_AFTER.days} days, and its silence"
        " agrees. If it refuses, the platform decides. Nothing vests from the proposal's day on",
    ),
    IssuerWarrantIssued: Right(
        "warrant",
        "a warrant is issued",
        "company",
        "the holder; each attester that it names; vote; each holder with a pro rata right that holder terms name;"
        f" {_PROTECTED}. The other investors may refuse",
        _NONE,
        _issue_warrant,
        _SOLD,
    ),
    IssuerWarrantExercised: Right(
        "warrant_exercise",
        "a warrant is exercised",
        "company, holder",
        "the holder; also a vote, if the exercise is net at an outdated value, or at one that only the company or the"
        " holder stated; the other investors may refuse that",
        _NONE,
        _exercise_warrant,
        f"{DECIDE_WITHIN.days} days, then the proposal lapses. An investor here that does not refuse such a value"
        f" within {WAIVED_AFTER.days} days agrees to it; any refusal ends the proposal, and stands for"
        f" {REFUSED_FOR.days} days if the company proposed it. In cash, or at a value that the platform records, the"
        " holder exercises alone",
    ),
    IssuerWarrantCancelled: Right(
        "warrant_cancellation", "a warrant is cancelled", "company", "the holder", _NONE, _holder
    ),
    IssuerWarrantTransferred: Right(
        "warrant_transfer",
        "a warrant changes hands, to an affiliate of its first holder, or back; or from a holder without a key",
        "holder",
        "giver and receiver; also the company, if one of them has no key here, or if nobody but the two states that"
        " they are affiliates; also a vote, if the receiver has a key and the giver has none",
        _NONE,
        _transfer_warrant,
    ),
    IssuerMilestoneAttested: Right(
        "attestation",
        "a technical or commercial milestone of a warrant is attested",
        "the attester that the warrant states",
        "nobody else; never the holder, its affiliates or the company",
        _NONE,
        _attest,
    ),
    IssuerProgrammeGrantAdded: Right(
        "programme_grant",
        "a grant counts in a programme of purchases",
        "company, customer, vendor",
        "nobody else, because the programme names both sides of the grant. If a statement of the grant was accepted"
        " before, the same parties as for stated purchases",
        _NONE,
        _add_grant,
        _STATED,
    ),
    IssuerPurchasesStated: Right(
        "purchases",
        "purchases outside this market are stated for a programme",
        "company, customer, vendor",
        "the company, customer and vendor. If a warrant counts the purchases, also its holder and a vote; the other"
        " investors may refuse",
        _NONE,
        _count_purchases,
        _STATED,
    ),
    IssuerPriceSourceNamed: Right(
        "price_source",
        "a source is named whose recorded prices warrants use",
        "company",
        "the recorder, which holds nothing of the company; vote",
        _NONE,
        _name_source,
    ),
    IssuerPriceObserved: Right(
        "price_observation",
        "the price of a share on a day is recorded",
        "the recorder that the source names; the platform, also on a day that is missing of the last 400",
        "nobody else. The recorder is never the company or a holder of its securities",
        _NONE,
        _nobody,
    ),
    IssuerPriceCorrected: Right(
        "price_correction",
        "the recorded price of a day is corrected",
        "the recorder that the source names",
        "the company and each holder of a warrant that counted it",
        "no warrant has vested, was priced or exercised by the source since",
        _correct_price,
    ),
    IssuerInstrumentSigned: Right(
        "investment",
        "cash is invested for an instrument, besides compute",
        "company",
        "vote. The holder agrees by its mandate; above the mandate's `approval_above_usd`, it agrees to the act itself."
        " For stock, a warrant, or a SAFE or note that undercuts what others paid or is large, also each holder with a"
        f" pro rata right that holder terms name, and {_PROTECTED}; the other investors may refuse. A SAFE or"
        " note is large to an investor if its principal is more than a tenth of the value at which that investor"
        " invested, or of a higher independent one; what others invested in cash in the last year counts with it, what"
        " the holder has for compute, and most-favoured principal that may elect its terms. Who has post-money SAFEs"
        " only, or bears at most a tenth of what it and earlier investors paid or hold, is not asked for that alone",
        "the investor alone has the majority of every group: then there is no vote",
        _invest,
        _SOLD,
    ),
    IssuerFinancingClosed: Right(
        "round",
        "a round closes: its stock is issued, instruments convert",
        "company",
        "each investor; vote. If parties here that are not related to the company buy less than a twentieth of it,"
        " or for less than a twentieth of all dollars paid in and not paid back, or the preference is less than the"
        " money, also each holder whose instrument converts. Also each holder that loses preferred stock by a duty to"
        " pay more than its part of the money of parties here, or more per share than another party that holds the"
        " class. An investor that took its part by right may refuse if an instrument was signed, or got other terms,"
        " afterwards, unless the round sells a fixed part of the company",
        _NONE,
        _close,
        f"{DECIDE_WITHIN.days} days, then the proposal lapses. Who may refuse because of what was signed since"
        f" its answer, and is silent for {WAIVED_AFTER.days} days, agrees. No stock and no money has moved. The"
        " round stays open: the company proposes it again, prices it again, or abandons it. If it abandons the round,"
        " the money that pro rata holders set aside is free. Otherwise that money is free 60 days after"
        " their time to answer",
    ),
    IssuerDilutionLimited: Right(
        "dilution_limit",
        "the limit on dilution by instruments changes",
        "company",
        "vote",
        "an existing limit becomes no higher and keeps its valuation; and when it was set, all holders held something,"
        " and no class was missing that ranks before preferred stock of theirs",
        _limit,
    ),
    IssuerHolderTermsAgreed: Right(
        "holder_terms",
        "company and holders agree on terms: thresholds of a sale, drag-along, pro rata rights, what holders see",
        "company",
        "vote, by the majorities that the terms in force require for a sale, and the directors, while the parties that"
        " agreed to them may decide for every group; also each holder that loses a pro rata right, or days to answer by"
        " it, or sees less; each party whose right is waived; each new director",
        _NONE,
        _agree_terms,
    ),
    IssuerProRataAnswered: Right(
        "pro_rata",
        "a holder takes or declines its part of a round by right",
        "holder",
        "the holder",
        _NONE,
        lambda event, _: Asked((event.holder_id,)),
    ),
    InstrumentPrincipalReversed: Right(
        "reduction",
        "a correction of usage reverses principal",
        "company",
        "the holder",
        f"the principal is outstanding and accrued in the last {SETTLED_AFTER.days} days, its holder is the provider or"
        " let the startup accept alone by its mandate, no round is open, and no sale is declared. After a sale is paid,"
        " nothing is reversed",
        _reduce,
    ),
    InstrumentRepaid: Right(
        "prepayment",
        "a note is repaid",
        "company",
        "the holder; vote. The other investors may refuse",
        "it has matured, does not convert then, and no round is open; or a sale pays it",
        _repay,
        _REDEEMED,
    ),
    InstrumentAmended: Right(
        "amendment",
        "an instrument gets other terms",
        "company, holder",
        "the holder, the company; vote. For better terms that undercut what others paid, or make it large, also the"
        " same parties as for an investment on such terms. Where a note is then repaid sooner, or in place of becoming"
        " stock, the other investors may refuse as an early repayment",
        _NONE,
        _amend,
        f"{_SOLD}. {_REFUSED_ALONE}",
    ),
    InstrumentTransferred: Right(
        "instrument_transfer",
        "a SAFE or note of a holder without a key passes to the party that it is",
        "company",
        "the receiver; vote",
        _NONE,
        _join,
    ),
    IssuerLiquidityDeclared: Right(
        "sale",
        "the company is sold",
        "company",
        "vote by the thresholds of the holder terms; the directors, if a holder agreed to them; a buyer that issues its"
        f" stock, its vote, each holder that its terms give a pro rata right, {_PROTECTED},"
        " and its investors, whose silence of"
        f" {WAIVED_AFTER.days} days from the buyer's own agreement agrees; a buyer that takes over capacity. Also"
        " each holder whose principal is not paid in full in cash, whose preferred stock ranks behind SAFEs, or who"
        " may buy preferred stock for less than its preference and is paid less than the difference."
        " Also each holder of a note, if nothing is left for others",
        "holders with the share that a drag-along requires agree. The drag-along then binds options, warrants and the"
        " classes that it does not name, as far as those who held something when it was agreed on have the majority of"
        " the group. The company states which holders without a key agreed",
        _sell,
    ),
    IssuerLiquidityWithdrawn: Right(
        "sale_withdrawal",
        "a declared sale is withdrawn",
        "company",
        "vote",
        "it was not paid in its time",
        _withdraw_sale,
    ),
}
"""By the event that an act records."""
CONSEQUENCES: Final = (
    IssuerWarrantVested,
    IssuerWarrantReleased,
    IssuerWarrantPriced,
    IssuerWarrantVestingReversed,
    IssuerExposureRecorded,
    IssuerProposalCounted,
    IssuerRefusalCounted,
    InstrumentMfnNoticed,
)
"""Events that follow from recorded facts and need no agreement of their own."""


_PASSED_ON: Final = (IssuerStockOffered, IssuerStockTransferred, IssuerWarrantTransferred, InstrumentTransferred)
"""What registers a party here, to which a holder passes something on, as a stakeholder."""
_OWN: Final = (OfferStock, TransferStock, RepurchaseStock, ConvertStock)
"""What a holder may propose with its own stock."""


def list_rights() -> tuple[StatedRight, ...]:
    """Return the whole table: acts on an issuer, every other act of a company, and what is beside equity."""
    acts = [StatedRight(*right[:5], silence=right.silence) for right in RIGHTS.values()]
    silence = Right._field_defaults["silence"]
    other = StatedRight(COMPANY_ACT, "anything else on the issuer", "company", "the company", _NONE, silence)
    return (*acts, other, *BESIDE_EQUITY)


def require_company(issuer: Issuer, party_id: str | None) -> None:
    """Refuse what only the company proposes before the book is asked: its refusals would tell what others hold.

    Raises:
        Refusal: ``company_proposes``.
    """
    company_id = issuer.formed.party_id
    if party_id not in {None, company_id}:
        text = f"only {company_id} proposes this; a holder proposes what it does with its own securities"
        raise Refusal("company_proposes", text, party_id=party_id)


def list_appointed(command: IssuerCommand) -> Sequence[str]:
    """Return the parties to which a command gives a part: directors, recorders, attesters, customers and vendors."""
    match command:
        case AgreeHolderTerms():
            return command.terms.directors
        case NamePriceSource():
            return () if command.recorder_id is None else (command.recorder_id,)
        case OpenProgramme():
            return (*command.customer_ids, *command.vendor_ids)
        case IssueWarrant():
            return sorted(list_attesters(command.tranches))
        case _:
            return ()


def require_own(issuer: Issuer, command: IssuerCommand, party_id: str | None) -> None:
    """Refuse a holder's command unless it concerns the holder's own securities.

    Raises:
        Refusal: ``company_proposes``.
    """
    holder_id: str | None = None
    if isinstance(command, _OWN):
        holder_id = command.holder_id
    elif isinstance(command, WithdrawOffer) and command.transfer_id in issuer.offers:
        holder_id = issuer.offers[command.transfer_id].offered.holder_id
    elif isinstance(command, ExerciseOption) and command.option_id in issuer.options:
        holder_id = issuer.options[command.option_id].holder_id
    require_holder(issuer, holder_id, party_id)


def require_holder(issuer: Issuer, holder_id: str | None, party_id: str | None) -> None:
    """Refuse a party but the company and who holds a security; None: nobody holds it.

    Raises:
        Refusal: ``company_proposes``.
    """
    if holder_id is None or holder_id != party_id:
        require_company(issuer, party_id)


def require_warrant_holder(issuer: Issuer, warrant_id: str, party_id: str | None) -> None:
    """Refuse a party but the company and who holds a warrant: else it would read strike and rest of others' warrants.

    Raises:
        Refusal: ``company_proposes``, also for a warrant that does not exist.
    """
    warrant = issuer.warrants.get(warrant_id)
    require_holder(issuer, None if warrant is None else warrant.holder_id, party_id)


def require_proposer(setting: Setting, proposer_id: str) -> None:
    """Refuse to let a holder propose an act that only the company may propose.

    Raises:
        Refusal: ``company_proposes``.
    """
    for event in setting.effects:
        right = RIGHTS.get(type(event))
        if isinstance(event, IssuerAuthorisedSharesAdjusted) and event.cause is not None:
            continue  # it follows from the holder's own act
        if right is not None and right.proposes == "company" and proposer_id != setting.company_id:
            raise Refusal(
                "company_proposes",
                f"only {setting.company_id} proposes that {right.act}; ask the company to",
                party_id=proposer_id,
            )


def list_consents(setting: Setting, proposer_id: str) -> tuple[Consent, ...]:
    """Return the agreements that an act needs beyond the proposer's, and holders' by mandate; empty if it needs none.

    The order is that of the effects.
    """
    found: dict[str, Consent] = {}
    passes = any(isinstance(event, _PASSED_ON) for event in setting.effects)
    for event in setting.effects:
        right = RIGHTS.get(type(event))
        if right is None:
            follows = isinstance(event, CONSEQUENCES) or (passes and isinstance(event, IssuerStakeholderAdded))
            if isinstance(event, IssuerEvent) and not follows:
                _ask(found, COMPANY_ACT, _Group("company", {setting.company_id: 1}))
            continue
        asked = right.who(event, setting)
        for holder_id in asked.holders:
            if _is_party(holder_id, setting):
                _ask(found, right.name, _Group(f"holder/{holder_id}", {holder_id: 1}))
        for holder_id in asked.notified:
            until = setting.at + WAIVED_AFTER
            _ask(found, right.name, _Group(f"holder/{holder_id}", {holder_id: 1}, waived_at=until))
        if asked.company or not all(_is_party(holder_id, setting) for holder_id in asked.holders):
            _ask(found, right.name, _Group("company", {setting.company_id: 1}))
        for group in _list_electorates(asked, setting):
            _ask(found, right.name, group)
        if asked.offered:
            until = setting.at + WAIVED_AFTER
            _ask(found, right.name, _Group(PRO_RATA, asked.offered, asked.share, waived_at=until))
    given = frozenset({proposer_id}) | list_mandated(setting.effects)
    return tuple(list_missing(found.values(), given, frozenset(), setting.at))


def gives_by_asking(consents: Iterable[Consent], party_id: str) -> bool:
    """Return whether a party that asks for an act gives by that an agreement which a row of the table asks it for."""
    return any(each.right != COMPANY_ACT and party_id in {voter.party_id for voter in each.voters} for each in consents)


def list_mandated(effects: Iterable[Event]) -> frozenset[str]:
    """Return the holders that agree to an investment by their mandate, because its amount needs no approval."""
    events = list(effects)
    asked = {event.mandate_id for event in events if isinstance(event, MandateBudgetHeld) and event.needs_approval}
    issued = (event for event in events if isinstance(event, InstrumentIssued) and event.mandate_id is not None)
    return frozenset(event.holder_id for event in issued if event.mandate_id not in asked)


class _Group(NamedTuple):
    electorate: str
    weights: Mapping[str, int]
    share_needed: Decimal | None = None
    weight_absent: int = 0
    waived_at: datetime | None = None


def _ask(found: dict[str, Consent], right: str, group: _Group) -> None:
    found.setdefault(group.electorate, _build_consent(right, group))


def _build_consent(right: str, group: _Group) -> Consent:
    return Consent(
        electorate=group.electorate,
        right=right,
        voters=tuple(Voter(party_id=party_id, weight=weight) for party_id, weight in sorted(group.weights.items())),
        share_needed=group.share_needed,
        weight_absent=group.weight_absent,
        waived_at=group.waived_at,
    )


def _list_electorates(asked: Asked, setting: Setting) -> Iterable[_Group]:
    if asked.vote:
        gain = frozenset().union(*(setting.register.list_group(each) for each in asked.gain))
        is_hidden = not all(_is_party(each, setting) for each in asked.gain)
        for electorate, weights in _list_groups(setting, gain, is_hidden=is_hidden):
            yield _Group(electorate, weights)
    if asked.sale:
        yield from _list_sale(setting)
        yield from _list_assuming(setting)
    if asked.terms:
        yield from _list_amenders(setting, setting.issuer.holder_terms)


def _list_amenders(setting: Setting, terms: HolderTerms) -> Iterable[_Group]:
    """Yield who agrees to other holder terms, by the majorities of a sale, so that no smaller one changes them.

    Directors are asked if the parties that held something when they were named may still decide for every group: they
    keep nobody who never agreed to them from naming others.
    """
    parts = (_UNRELATED, _DISINTERESTED)
    whole = (_Group(*each) for each in _list_groups(setting) if not each[0].startswith(parts))
    groups = (_build_consent("holder_terms", each) for each in whole)
    if terms.directors and all(has_majority(each, setting.issuer.bound) for each in groups):
        yield _Group("directors", dict.fromkeys(terms.directors, 1))
    for electorate, weights in _list_groups(setting):
        yield _Group(electorate, weights, terms.sale_share_needed)
    drag = terms.drag_along
    together = None if drag is None else _weigh_together(setting, ZERO)
    if drag is not None and together is not None:
        yield _Group("holders_here", together.weights, drag.share_needed)


def _list_sale(setting: Setting) -> Iterable[_Group]:
    """Yield who agrees to a sale: directors, holders by their terms, and a buyer that issues its stock.

    Nobody knows what the sold company is worth. So the buyer's investors may refuse its stock, and sellers without a
    key count as whoever leads a group of the buyer.
    Directors that the company named alone are not asked: a holder was among those who agreed to them, and still is one.
    """
    terms, parties = setting.issuer.holder_terms, list_parties(setting.issuer)
    if terms.directors and (parties & setting.issuer.bound or not parties):
        yield _Group("directors", dict.fromkeys(terms.directors, 1))
    buyer, other = setting.buyer, setting.buyer or setting.assuming
    leaning = frozenset() if other is None else list_leaning(setting.issuer, other, setting.register)
    yield from _list_sellers(setting, terms, leaning)
    if buyer is None:
        return
    buying = setting._replace(issuer=buyer, company_id=buyer.formed.party_id, buyer=None)
    yield _Group("buyer", {buying.company_id: 1})
    protected = _list_protected_of_buyer(setting)
    named = [each for each in (*_list_named_by_terms(buying), *protected) if _is_party(each, buying)]
    for holder_id in named:
        yield _Group(f"buyer_holder/{holder_id}", {holder_id: 1})
    gain = list_leaning(buyer, setting.issuer, setting.register)
    is_hidden = not all(_is_party(each, buying) for each in gain)
    for electorate, weights in _list_groups(buying, gain, is_hidden=is_hidden):
        yield _Group(f"buyer_{electorate}", weights)
    yield from _hear_buyer(buying, _list_others(buying, named), gain)


def _list_protected_of_buyer(setting: Setting) -> tuple[str, ...]:
    """Return the holders of a buyer whose stock is protected against the price at which it pays with its own."""
    stocks = [each.waterfall.stock for each in setting.effects if isinstance(each, IssuerLiquidityDeclared)]
    stock = next(iter(stocks), None)
    if setting.buyer is None or stock is None or stock.class_id is None:
        return ()
    return list_protected(setting.buyer, stock.class_id, Fraction(stock.price_usd_per_share))


def _hear_buyer(buying: Setting, offered: Collection[str], takers: frozenset[str]) -> Iterable[_Group]:
    """Yield the investors of a buyer, as for a small warrant: only those who bear more than a tenth stop it."""
    hearing = hear(buying.issuer, Issue(None, buying.related | takers, Fraction(0)), offered, buying.at)
    if buying.asked is not None:
        joined = dict.fromkeys(sorted(set(offered) - buying.asked), 1)
        hearing = Hearing((), joined, Decimal(1))
    for holder_id in hearing.apart:
        yield _Group(f"buyer_holder/{holder_id}", {holder_id: 1})
    if hearing.weights:
        until = buying.at + WAIVED_AFTER
        yield _Group(f"buyer_{PRO_RATA}", hearing.weights, hearing.share, waived_at=until)


def _list_assuming(setting: Setting) -> Iterable[_Group]:
    """Yield the buyer that takes over capacity, whether it pays in cash or in stock."""
    for event in setting.effects:
        if isinstance(event, IssuerLiquidityDeclared) and event.assumed is not None:
            yield _Group("buyer", {rename_id("pty", event.assumed.issuer_id): 1})


def _list_sellers(setting: Setting, terms: HolderTerms, leaning: frozenset[str]) -> Iterable[_Group]:
    """Yield who agrees for the holders: each group or, by a drag-along, all together.

    A drag-along binds a group only if the parties that held something when it was agreed on could decide for it.
    """
    drag = terms.drag_along
    together = None if drag is None else _weigh_together(setting, drag.share_needed)
    if drag is not None and together is not None:
        here = _leave_out(together.weights, setting.related | leaning)
        yield together
        if here and (len(here) < len(together.weights) or together.weight_absent):
            yield _Group("holders_here", here)
        own = frozenset({"instruments", "commitments", *(f"class/{class_id}" for class_id in drag.classes)})
    for electorate, weights in _list_groups(setting, leaning):
        group = _Group(electorate, weights, terms.sale_share_needed)
        is_own = together is None or electorate.removeprefix(_UNRELATED).removeprefix(_DISINTERESTED) in own
        if is_own or not has_majority(_build_consent("sale", group), setting.issuer.bound):
            yield group


def _weigh_together(setting: Setting, share_needed: Decimal) -> _Group | None:
    """Return all holders by their shares, as converted into common stock, without fractions.

    The company votes for those without a key whose agreement it states. None if no party holds stock, or if the share
    cannot be reached even if all agree who can: then every group agrees by itself.
    """
    stated = {
        each.holder_id
        for event in setting.effects
        if isinstance(event, IssuerLiquidityDeclared)
        for each in event.agreed
    }
    weights: dict[str, int] = {}
    for (holder_id, class_id), shares in sorted(setting.issuer.holdings.items()):
        voter = _find_voter(holder_id, stated, setting)
        converted = int(shares * setting.issuer.classes[class_id].conversion_ratio)
        if converted and voter is not None:
            weights[voter] = weights.get(voter, 0) + converted
    absent = weights.pop(_ABSENT, 0)
    group = _Group("holders", weights, share_needed, absent)
    everybody = sum(weights.values())
    reachable = everybody >= (everybody + absent) * Fraction(share_needed)
    return group if reachable and weights.keys() - {setting.company_id} else None


_ABSENT: Final = ""
_UNRELATED: Final = "unrelated_"
_DISINTERESTED: Final = "disinterested_"


def _find_voter(holder_id: str, stated: Collection[str], setting: Setting) -> str | None:
    """Return who votes with a holder's shares; None if the shares are the company's own, which do not count.

    A party votes itself. The company votes for a holder without a key whose agreement it states. Nobody votes for the
    others without a key; `_ABSENT` stands for that.
    """
    if holder_id == setting.company_id:
        return None
    if _is_party(holder_id, setting):
        return holder_id
    return setting.company_id if holder_id in stated else _ABSENT


def _list_groups(
    setting: Setting, gain: frozenset[str] = frozenset(), *, is_hidden: bool = False
) -> Iterable[tuple[str, dict[str, int]]]:
    """Yield each group of security holders with the weight of the parties in it; the company does not vote.

    Those who are not related to the company, or to the other side of its sale, agree by themselves too, so that neither
    has a majority by its affiliates. So do those of them who are not in `gain`. If it `is_hidden` who gains, because it
    has no key here, it may be whoever has most of a group; that party is not disinterested in its group.
    """
    groups: dict[str, dict[str, int]] = {}
    for (holder_id, class_id), shares in sorted(setting.issuer.holdings.items()):
        _weigh(groups, f"class/{class_id}", holder_id, shares, setting)
    scale = scale_principal(setting.issuer)
    for instrument_id, exposures in sorted(setting.issuer.exposures.items()):
        signed = setting.issuer.instruments.get(instrument_id)
        if signed is not None and instrument_id in scale:
            whole = sum((exposure.amount_usd for exposure in exposures), ZERO)
            drawn = min(setting.outstanding.get(instrument_id, whole), whole)
            for electorate, amount in (("instruments", drawn), ("commitments", whole - drawn)):
                counted = ceil(Fraction(amount) * 100 * scale[instrument_id])
                _weigh(groups, electorate, signed.holder_id, counted, setting)
    own = setting.register.list_group(setting.company_id)
    for electorate, holder_id, weight in weigh_rights(setting.issuer, own, setting.at):
        _weigh(groups, electorate, holder_id, weight, setting)
    for electorate, weights in groups.items():
        yield electorate, weights
        unrelated = _leave_out(weights, setting.related)
        if unrelated and len(unrelated) < len(weights):
            yield f"{_UNRELATED}{electorate}", unrelated
        disinterested = _leave_out(unrelated, gain | _list_leading(weights, setting) if is_hidden else gain)
        if disinterested and len(disinterested) < len(unrelated):
            yield f"{_DISINTERESTED}{electorate}", disinterested


def _list_leading(weights: Mapping[str, int], setting: Setting) -> frozenset[str]:
    """Return who has more than half of a group, with all whom firm relations connect with it; empty if nobody does."""
    groups = {setting.register.list_group(party_id) for party_id in weights}
    whole = sum(weights.values())
    leading = (each for each in groups if 2 * sum(weights.get(party_id, 0) for party_id in each) > whole)
    return next(leading, frozenset())


def _leave_out(weights: Mapping[str, int], parties: Collection[str]) -> dict[str, int]:
    return {party_id: weight for party_id, weight in weights.items() if party_id not in parties}


def _weigh(groups: dict[str, dict[str, int]], electorate: str, holder_id: str, weight: int, setting: Setting) -> None:
    if weight and _is_party(holder_id, setting):
        group = groups.setdefault(electorate, {})
        group[holder_id] = group.get(holder_id, 0) + weight
