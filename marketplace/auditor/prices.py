"""Computes prices from the events: those of others in the last year, what holders paid, and what instruments ask for.

A round states a price if parties that are not interested bought a twentieth of the company in it, for a twentieth of
all dollars paid in and not paid back, and the company did not buy it back. So does a valuation by the platform. A
valuation by the company states none.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any, Final, NamedTuple

from marketplace.auditor.given import VALID
from marketplace.auditor.notes import find_growth_of
from marketplace.auditor.spans import parse_instant

ONE = Fraction(1)
OUTSIDE_MIN: Final = Fraction(1, 20)
"""The part of the company, and of all dollars paid in, that strangers must buy in a round, so that its price counts."""
_FOUNDERS_USD: Final = 100_000
"""The most USD that all stock is worth at the founders' price when founders get theirs."""
_GIVEN_FEW: Final = 10
"""One of so many shares may be given away before founders' stock counts as given away too."""
Body = Mapping[str, Any]
Row = tuple[str, str]
"""A holder, and a class of its stock."""


def find_strike(warrant: Body) -> Fraction:
    """Return the lowest USD at which a warrant buys a share; 0 if that is fixed later."""
    price = Fraction(warrant["exercise_price_usd"])
    prices = [
        Fraction(0) if each.get("later_price") else Fraction(each.get("exercise_price_usd") or price)
        for each in warrant.get("tranches", ())
    ]
    return min(prices, default=price)


def find_chosen(terms: Body, whole: Fraction) -> tuple[str, Fraction]:
    """Return the class that terms state, and what a share of it costs; no class for a SAFE."""
    if terms.get("at_maturity"):
        return terms["at_maturity"]["class_id"], Fraction(terms["valuation_cap_usd"]) / max(whole, ONE)
    price = Fraction(terms.get("price_usd_per_share", 0)) + Fraction(terms.get("exercise_price_usd", 0))
    return terms.get("class_id", ""), price


@dataclass(slots=True)
class StockClass:
    """A class of stock after all splits: its kind, a share's preference, if it participates, its ratio and rank.

    `price` is its issue price. `protection` is ``full_ratchet`` or ``weighted_average``, which counts `basis`.
    """

    kind: str
    preference: Fraction
    participates: bool = False
    ratio: Fraction = ONE
    seniority: int = 0
    price: Fraction = Fraction(0)
    protection: str | None = None
    basis: str | None = None


class Mark(NamedTuple):
    """A price of a share after all splits, its day, and how many shares each party bought at it; None: the platform.

    `whole` is how many shares the company had after the round.
    """

    price: Fraction
    day: date | None
    makers: Mapping[str, Fraction] | None
    whole: Fraction = Fraction(0)

    def split(self, ratio: Fraction) -> "Mark":
        """Return the price after a split."""
        makers = None if self.makers is None else {each: shares * ratio for each, shares in self.makers.items()}
        return Mark(self.price / ratio, self.day, makers, self.whole * ratio)

    def buy_back(self, holder_id: str, shares: Fraction) -> "Mark":
        """Return the price without what the company bought back from who made it."""
        makers = dict(self.makers or {})
        makers[holder_id] = max(makers.get(holder_id, Fraction(0)) - shares, Fraction(0))
        return self if self.makers is None else self._replace(makers=makers)


class Lot(NamedTuple):
    """Stock that was issued to a holder, the price of a share, after all splits, and what it followed from.

    `worth` is what all stock was worth at that price just after, in USD.
    """

    holder_id: str
    class_id: str
    shares: Fraction
    price: Fraction
    cause: str | None = None
    worth: Fraction = Fraction(0)


@dataclass(slots=True)
class Round:
    """A round: its opening, its last price, what holders take by right, and if it has ended.

    `outdated` are those who took a part before an instrument was signed or changed.
    """

    opened: Body
    priced: Body = field(default_factory=dict)
    answers: dict[str, Fraction] = field(default_factory=dict)
    late: list[Body] = field(default_factory=list)
    ended: bool = False
    outdated: set[str] = field(default_factory=set)

    def list_diluted(self) -> set[str]:
        """Return who took a part of a round that what was signed since dilutes: all but one that sells a fixed part."""
        is_fixed = self.opened["terms"].get("pricing_convention") == "percent_ownership"
        return set() if is_fixed else self.outdated

    def list_offers(self) -> list[Body]:
        """Return what holders may take by right."""
        return self.late or list(self.opened.get("pro_rata", ()))

    def find_open_until(self) -> datetime | None:
        """Return until when it may be priced: with an offer that came late, a week after its time at least."""
        times = [parse_instant(each["until"]) + timedelta(days=7) for each in self.late if each.get("until")]
        until = self.opened.get("open_until")
        return None if until is None else max([parse_instant(until), *times])

    def list_silent(self, now: datetime) -> set[str]:
        """Return who has not answered, and still may."""
        until = self.opened.get("pro_rata_until") or ""
        return {
            each["holder_id"]
            for each in self.list_offers()
            if each["holder_id"] not in self.answers and now < parse_instant(each.get("until") or until)
        }

    def sum_investments(self) -> dict[str, Fraction]:
        """Return the USD of each investor, by the terms and by right."""
        found = dict(self.answers)
        for each in self.opened["terms"]["investments"]:
            found[each["holder_id"]] = found.get(each["holder_id"], Fraction(0)) + Fraction(each["amount_usd"])
        return {holder_id: amount for holder_id, amount in found.items() if amount}

    def find_day(self) -> date | None:
        """Return the day on which it was priced; None if an import does not state it."""
        until = self.priced.get("close_until")
        days = timedelta(days=self.opened.get("closing_days", 30))
        return None if until is None else (parse_instant(until) - days).date()


@dataclass(slots=True)
class Company:
    """What an issuer's events say about prices.

    Attributes:
        classes: By class id.
        marks: Every price that was stated.
        lots: All stock that was issued.
        stock: Shares of stock that are outstanding.
        paid_back: What the company paid each holder for its stock, and what was clawed back of stock, in USD.
        options: The exercise price of each option, in USD after all splits.
        exercised: Stock that options gave; the price is that of the option.
        strikes: USD at which each warrant buys a share, after all splits, where a tranche states no other price.
        purchases: Stock that warrants bought in cash.
        offers: The price of each offer of stock.
        handed_on: Stock that moved to another holder or class: holder and class before, those after, and the price of
            a share, after all splits, that it was offered for; 0 without an offer.
        rounds: By financing id.
        closed: The day and the pricing of each round that closed.
        signed: The holder of each instrument that was ever signed.
        signed_terms: The terms at which each of them was signed.
        invested: The day of those that were paid in cash, without compute.
        agreed_splits: The splits until a price was agreed, by instrument and open order.
        exposures: What each instrument and open order may still become.
        limit: The dilution limit.
        limited_classes: The classes when it was agreed on.
        split_ratio: All splits.
        warrant_classes: The class that each warrant buys.
        bought_rights: The holder of each warrant that an instrument gave.
        signed_shares: All shares and rights when an instrument was signed, in shares before any split.
        named: Who has a pro rata right by holder terms.
    """

    classes: dict[str, StockClass] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    lots: list[Lot] = field(default_factory=list)
    stock: Fraction = Fraction(0)
    paid_back: dict[str, Fraction] = field(default_factory=dict)
    options: dict[str, Fraction] = field(default_factory=dict)
    exercised: list[Lot] = field(default_factory=list)
    strikes: dict[str, Fraction] = field(default_factory=dict)
    purchases: list[Lot] = field(default_factory=list)
    offers: dict[str, Fraction] = field(default_factory=dict)
    handed_on: list[tuple[Row, Row, Fraction]] = field(default_factory=list)
    rounds: dict[str, Round] = field(default_factory=dict)
    closed: list[tuple[date | None, Body]] = field(default_factory=list)
    signed: dict[str, str] = field(default_factory=dict)
    signed_terms: dict[str, Body] = field(default_factory=dict)
    invested: dict[str, date] = field(default_factory=dict)
    agreed_splits: dict[str, Fraction] = field(default_factory=dict)
    exposures: dict[str, list[Body]] = field(default_factory=dict)
    limit: Body = field(default_factory=dict)
    limited_classes: frozenset[str] = frozenset()
    split_ratio: Fraction = ONE
    warrant_classes: dict[str, str] = field(default_factory=dict)
    bought_rights: dict[str, str] = field(default_factory=dict)
    signed_shares: dict[str, Fraction] = field(default_factory=dict)
    named: tuple[str, ...] = ()

    def take(self, name: str, body: Body, company_id: str) -> None:
        """Fold one event."""
        self._count_stock(name, body)
        self._hand_on(name, body, company_id)
        self._take_right(name, body)
        if name in {"financing_closed", "financing_abandoned"} and body["financing_id"] in self.rounds:
            self.rounds[body["financing_id"]].ended = True
        match name:
            case "stock_class_created":
                price, multiple = body.get("price_per_share_usd") or 0, body.get("liquidation_multiple") or 0
                preference, beside = Fraction(price) * Fraction(multiple), body.get("participation", "none") != "none"
                rank = body.get("seniority", 0)
                made = StockClass(body["kind"], preference, beside, seniority=rank, price=Fraction(price))
                made.protection, made.basis = body.get("price_protection"), body.get("protection_basis")
                self.classes[body["class_id"]] = made
            case "conversion_price_adjusted" if body["class_id"] in self.classes:
                change = Fraction(body["conversion_price_usd_before"]) / Fraction(body["conversion_price_usd"])
                self.classes[body["class_id"]].ratio *= change
            case "stock_issued":
                price, shares = Fraction(body["price_usd_per_share"]), Fraction(body["shares"])
                worth = price * self.stock
                self.lots.append(Lot(body["holder_id"], body["class_id"], shares, price, body.get("cause"), worth))
            case "stock_offered":
                self.offers[body["transfer_id"]] = Fraction(body["price_usd_per_share"])
            case "stock_split":
                self._split(Fraction(body["numerator"], body["denominator"]))
            case "instrument_signed":
                self._sign(body["instrument_id"], body)
            case "exposure_recorded":
                self._record_exposure(body["subject_id"], body["exposures"])
                self.signed |= {body["subject_id"]: body["holder_id"]} if body.get("holder_id") else {}
            case "dilution_limited":
                self._set_limit(body)
            case _:
                self._take_price(name, body, company_id)

    def _sign(self, name: str, body: Body) -> None:
        self._date_answers()
        self.signed[name], self.signed_terms[name] = body["holder_id"], body["terms"]
        if body.get("invested_on"):
            self.invested[name] = date.fromisoformat(body["invested_on"])
        agreed = body.get("split_ratio")
        self.agreed_splits[name] = self.split_ratio if agreed is None else Fraction(agreed)
        self.exposures[name] = [{"terms": body["terms"], "amount_usd": body["commitment_usd"]}]

    def _take_price(self, name: str, body: Body, company_id: str) -> None:
        match name:
            case "warrant_issued":
                self.warrant_classes[body["warrant_id"]] = body["class_id"]
                if body.get("cause") in self.signed:
                    self.bought_rights[body["warrant_id"]] = body["holder_id"]
            case "holder_terms_agreed":
                self.named = tuple(body["terms"].get("pro_rata", ()))
            case "financing_opened":
                self.rounds[body["financing_id"]] = Round(body)
            case "financing_priced" if body["financing_id"] in self.rounds:
                self.rounds[body["financing_id"]].priced = body
                self.rounds[body["financing_id"]].late = body.get("pro_rata") or self.rounds[body["financing_id"]].late
            case "pro_rata_answered" if body["financing_id"] in self.rounds:
                self.rounds[body["financing_id"]].answers[body["holder_id"]] = Fraction(body["amount_usd"])
            case "financing_closed" if body["financing_id"] in self.rounds and self.rounds[body["financing_id"]].priced:
                self._close(self.rounds[body["financing_id"]], company_id)
            case "stock_repurchased" | "stock_transferred" if body.get("holder_id_after") in {None, company_id}:
                self._buy_back(body)
            case "valuation_recorded" if body.get("recorded_by") == "platform":
                day = date.fromisoformat(body["effective_on"])
                self.marks.append(Mark(Fraction(body["price_usd_per_share"]), day, None))

    def _take_right(self, name: str, body: Body) -> None:
        match name:
            case "option_granted":
                self.options[body["option_id"]] = Fraction(body.get("exercise_price_usd") or 0)
            case "option_exercised":
                price = self.options.get(body["option_id"], Fraction(0))
                self.exercised.append(Lot(body["holder_id"], body["class_id"], Fraction(body["shares"]), price))
            case "warrant_issued":
                self.strikes[body["warrant_id"]] = Fraction(body.get("exercise_price_usd") or 0)
            case "warrant_exercised" if body.get("fair_value_usd") is None and not body.get("shares_surrendered"):
                own, stated = self.strikes.get(body["warrant_id"], Fraction(0)), body.get("exercise_price_usd")
                price = own if stated is None else Fraction(stated)
                self.purchases.append(Lot(body["holder_id"], body["class_id"], Fraction(body["shares"]), price))

    def _count_stock(self, name: str, body: Body) -> None:
        match name:
            case "stock_issued" | "option_exercised" | "warrant_exercised":
                self.stock += body["shares"]
            case "stock_repurchased":
                self.stock -= body["shares"]
            case "stock_converted":
                self.stock += body["shares_after"] - body["shares"]

    def _hand_on(self, name: str, body: Body, company_id: str) -> None:
        if name == "stock_transferred" and company_id not in {body["holder_id"], body["holder_id_after"]}:
            price = self.offers.get(body["transfer_id"], Fraction(0))
            moved = (body["holder_id"], body["class_id"]), (body["holder_id_after"], body["class_id"])
            self.handed_on.append((*moved, price))
        elif name == "stock_converted":
            moved = (body["holder_id"], body["class_id"]), (body["holder_id"], body["class_id_after"])
            self.handed_on.append((*moved, Fraction(0)))

    def _buy_back(self, body: Body) -> None:
        """Take from prices, and from dollars paid in, what a holder gave back. Nothing was paid in for a clawback."""
        holder_id, shares = body["holder_id"], Fraction(body["shares"])
        self.marks = [mark.buy_back(holder_id, shares) for mark in self.marks]
        price = Fraction(body.get("price_usd_per_share", 0))
        if "transfer_id" in body:
            price = self.offers.get(body["transfer_id"], Fraction(0))
        elif body.get("cause") in self.signed:
            price = self.find_mean(holder_id, body["class_id"])
        self.paid_back[holder_id] = self.paid_back.get(holder_id, Fraction(0)) + shares * price

    def _close(self, closed: Round, company_id: str) -> None:
        pricing = closed.priced["pricing"]
        bought = {each["holder_id"]: Fraction(each["shares"]) for each in pricing.get("allotments", ())}
        makers = {each: bought[each] for each in bought if each.startswith("pty_") and each != company_id}
        price, whole = Fraction(pricing["price_usd_per_share"]), Fraction(pricing["post_money_shares"])
        self.marks.append(Mark(price, closed.find_day(), makers, whole))
        self.closed.append((closed.find_day(), pricing))
        for each in pricing.get("instruments", ()):
            self._convert(each)

    def list_recent(self, today: date) -> list[Body]:
        """Return the pricings of rounds of the last year."""
        return [pricing for day, pricing in self.closed if day is not None and today - day <= VALID]

    def _date_answers(self) -> None:
        """Note who took a part of an open round before its instruments change."""
        for each in (each for each in self.rounds.values() if not each.ended):
            each.outdated |= {holder_id for holder_id, amount in each.answers.items() if amount}

    def _set_limit(self, body: Body) -> None:
        self.limit = {} if body.get("dilution_max") is None else body
        self.limited_classes = frozenset(self.classes if self.limit else ())
        if self.limit:
            counted = {each["instrument_id"]: each["exposures"] for each in body.get("instruments", ())}
            orders = {name: known for name, known in self.exposures.items() if name not in self.signed}
            self.exposures = orders | {name: counted.get(name, []) for name in self.signed}

    def _record_exposure(self, subject_id: str, exposures: list[Body]) -> None:
        known = [each["terms"] for each in self.exposures.get(subject_id, ())]
        if subject_id in self.signed and any(each["terms"] not in known for each in exposures):
            self._date_answers()
        self.exposures[subject_id] = exposures
        self.agreed_splits.setdefault(subject_id, self.split_ratio)
        if not exposures and subject_id not in self.signed:
            del self.exposures[subject_id], self.agreed_splits[subject_id]

    def _convert(self, instrument: Body) -> None:
        """Subtract what became stock in a round, first of the terms at which it did."""
        left, after = Fraction(instrument["principal_usd"]), list[Body]()
        known = self.exposures.get(instrument["instrument_id"], [])
        for each in sorted(known, key=lambda one: bool(one["terms"] != instrument["terms"])):
            taken = min(left, Fraction(each["amount_usd"]))
            left -= taken
            after.append({**each, "amount_usd": Fraction(each["amount_usd"]) - taken})
        self.exposures[instrument["instrument_id"]] = after

    def list_investors(self, holdings: Mapping[tuple[str, str, str], int]) -> set[str]:
        """Return who holds what it got for compute or money.

        That is an instrument that is open, or a warrant that one gave; preferred stock; or any stock, if the holder
        bought some in a round, by an instrument, for more than the least price of any class, or at one at which all
        stock was worth more than 100,000 USD as some was issued at it. What was bought by an option or
        from a holder, got from a buyer in a sale, or handed on by who had bought it counts as well.
        """
        stock = {row[1:] for row, shares in holdings.items() if row[0] == "stock" and shares}
        preferred = {class_id for class_id, known in self.classes.items() if known.kind == "preferred"}
        found = {holder for holder, class_id in stock if class_id in preferred}
        for name, holder_id in self.signed.items():
            if any(Fraction(each["amount_usd"]) for each in self.exposures.get(name, ())):
                found.add(holder_id)
        found |= {each for name, each in self.bought_rights.items() if holdings.get(("warrant", each, name))}
        buyers = self._list_buyers(by_options=True) | {*self.bought_rights.values()}
        return found | (buyers & {holder for holder, _ in stock})

    def _list_buyers(self, *, by_options: bool) -> set[str]:
        """Return who got some stock for compute or money, or from who did, also if it holds none any more."""
        least = self._find_founders_price()
        lots = (*self.lots, *self.purchases, *(self.exercised if by_options else ()))
        rows = {(lot.holder_id, lot.class_id) for lot in lots if self._is_bought(lot, least)}
        rows |= {taker for _, taker, price in self.handed_on if price and price > least}
        while ahead := {taker for giver, taker, _ in self.handed_on if giver in rows} - rows:
            rows |= ahead
        return {holder_id for holder_id, _ in rows}

    def _find_founders_price(self) -> Fraction:
        """Return the least USD of a share, at which founders get stock; -1 if the company was worth too much then.

        A tenth of the stock, or less, that was given away makes no price.
        """
        sold = [lot for lot in self.lots if lot.cause is None]
        given = sum((lot.shares for lot in sold if not lot.price), Fraction(0))
        if given * _GIVEN_FEW <= sum((lot.shares for lot in sold), Fraction(0)):
            sold = [lot for lot in sold if lot.price]
        least = min((lot.price for lot in sold), default=Fraction(0))
        is_dear = any(lot.worth > _FOUNDERS_USD for lot in sold if lot.price == least)
        return Fraction(-1) if is_dear else least

    def is_redemption(self, body: Body, price: Fraction, holdings: Mapping[tuple[str, str, str], int]) -> bool:
        """Return whether the company takes back what somebody invested: not so at cost what founders and employees got.

        A party that paid more than founders for an option invested.

        Args:
            body: What it takes back.
            price: What it pays for a share, in USD.
            holdings: The cap table before.
        """
        holder_id, class_id = body["holder_id"], body["class_id"]
        known = self.classes.get(class_id)
        if known is None or known.kind == "preferred":
            return known is not None
        investors = {each for each in self.list_investors(holdings) if each.startswith("pty_")}
        if holder_id in investors | self._list_buyers(by_options=False):
            return True
        own = [lot for lot in self._list_got(holder_id, class_id, by_rights=True) if lot.cause is None]
        paid = max((lot.price for lot in own), default=Fraction(0))
        return body["shares"] > sum((lot.shares for lot in own), Fraction(0)) or price > paid

    def _list_got(self, holder_id: str, class_id: str, *, by_rights: bool) -> Iterator[Lot]:
        """Yield the stock that was issued to a holder, or that it bought by rights, and that is now of a class."""
        row = (holder_id, class_id)
        turned = {giver[1] for giver, taker, _ in self.handed_on if giver[0] == holder_id and taker == row}
        for lot in (*self.lots, *((*self.purchases, *self.exercised) if by_rights else ())):
            if lot.holder_id == holder_id and lot.class_id in {class_id, *turned}:
                ratio = ONE if lot.class_id == class_id else self.find_ratio("stock", lot.class_id)
                yield lot._replace(shares=lot.shares * ratio, price=lot.price / ratio)

    def _is_bought(self, lot: Lot, least: Fraction) -> bool:
        return lot.cause in self.signed or lot.cause in self.rounds or bool(lot.price and lot.price > least)

    def list_claims(self, uncapped: Fraction, whole: Fraction) -> Iterator[tuple[str, Fraction]]:
        """Yield the holder of each instrument, and the part of the company that it asks for.

        Args:
            uncapped: The part of one without a price.
            whole: The shares and rights of the company as converted.
        """
        for name, holder_id in self.signed.items():
            for each in self.exposures.get(name, ()):
                claim = self.find_claim(name, each, whole)
                yield holder_id, uncapped if claim is None else claim[0]

    def scale_principal(self, whole: Fraction) -> dict[str, Fraction]:
        """Return, by instrument, as how many dollars a dollar of it votes: the mean cap or price over its own.

        `whole` is the shares and rights of the company as converted. Without a cap or price it counts as one.
        """
        rows = [
            (name, Fraction(each["amount_usd"]), self._find_value(name, each["terms"], whole))
            for name in self.signed
            for each in self.exposures.get(name, ())
            if Fraction(each["amount_usd"])
        ]
        parts = sum((amount / value for _, amount, value in rows if value), Fraction(0))
        mean = sum((amount for _, amount, value in rows if value), Fraction(0)) / (parts or 1)
        found: dict[str, tuple[Fraction, Fraction]] = {}
        for name, amount, value in rows:
            counted, all_of_it = found.get(name, (Fraction(0), Fraction(0)))
            found[name] = counted + (amount * mean / value if value else amount), all_of_it + amount
        return {name: counted / all_of_it for name, (counted, all_of_it) in found.items()}

    def _find_value(self, name: str, terms: Body, whole: Fraction) -> Fraction | None:
        """Return the value of the company, in USD, at a cap, or at a price with what the right costs; None: neither."""
        value, is_price = self.find_offered(terms, whole), terms["kind"] in {"stock", "warrant"}
        return value * self.agreed_splits[name] / self.split_ratio if value is not None and is_price else value

    def find_offered(self, terms: Body, whole: Fraction) -> Fraction | None:
        """Return the value of the company, in USD, at a cap, or at a price of shares as they are now; None: neither."""
        if terms.get("kind") not in {"stock", "warrant"}:
            cap = terms.get("valuation_cap_usd")
            return None if cap is None else Fraction(cap)
        price = Fraction(terms["price_usd_per_share"]) + Fraction(terms.get("exercise_price_usd", 0))
        return price / self.find_ratio("stock", terms["class_id"]) * whole

    def measure_whole(self, shares: Fraction) -> Fraction | None:
        """Return the shares of the company as converted, with all that instruments and open orders become.

        None if that is not known: one has no price, or post-money ones ask for the whole company.

        Args:
            shares: The shares and rights that exist.
        """
        ahead, within = Fraction(0), Fraction(0)
        for name, known in self.exposures.items():
            for each in known:
                claim = self.find_claim(name, each, shares)
                if claim is None:
                    return None
                part, is_within = claim
                ahead, within = (ahead, within + part) if is_within else (ahead + part, within)
        return None if within >= 1 else shares * (1 + ahead) / (1 - within)

    def find_claim(self, name: str, exposure: Body, whole: Fraction) -> tuple[Fraction, bool] | None:
        """Return the part of the company that principal asks for, and whether that is a part of the company after it.

        Otherwise it is a part of the company before it. None if no price is known. A note counts with its interest.
        """
        terms, amount = exposure["terms"], Fraction(exposure["amount_usd"])
        if not amount:
            return amount, False
        if terms["kind"] in {"stock", "warrant"}:
            price = Fraction(terms["price_usd_per_share"]) * self.agreed_splits[name] / self.split_ratio
            value = price / self.find_ratio("stock", terms["class_id"]) * whole
            return (amount / value if value else value), False
        amount *= find_growth_of(exposure)
        values = []
        if terms.get("valuation_cap_usd") is not None:
            values.append((Fraction(terms["valuation_cap_usd"]), terms.get("conversion_timing") != "post_money"))
        if self.limit.get("valuation_usd") is not None:
            values.append((Fraction(self.limit["valuation_usd"]) * (1 - Fraction(terms.get("discount") or 0)), True))
        if not values:
            return None
        value, is_before = min(values)
        return amount / value, not is_before

    def find_divisor(self, name: str, shares: Fraction) -> Fraction:
        """Return the shares by which a cap is divided: those there are, and of a note no fewer than at its signing."""
        is_note = any(each["terms"]["kind"] == "note" for each in self.exposures.get(name, ()))
        return max(shares, self.signed_shares.get(name, Fraction(0)) * self.split_ratio if is_note else shares)

    def _split(self, ratio: Fraction) -> None:
        self.split_ratio *= ratio
        self.stock *= ratio
        self.marks = [mark.split(ratio) for mark in self.marks]
        self.lots, self.exercised, self.purchases = (
            [lot._replace(shares=lot.shares * ratio, price=lot.price / ratio) for lot in lots]
            for lots in (self.lots, self.exercised, self.purchases)
        )
        self.strikes = {warrant_id: price / ratio for warrant_id, price in self.strikes.items()}
        self.handed_on = [(giver, taker, price / ratio) for giver, taker, price in self.handed_on]
        self.options = {option_id: price / ratio for option_id, price in self.options.items()}
        for each in self.classes.values():
            each.preference /= ratio
            each.price /= ratio

    def find_ratio(self, kind: str, security: str) -> Fraction:
        """Return how many common shares a share of a row is as converted."""
        class_id = self.warrant_classes.get(security, "") if kind == "warrant" else security
        known = self.classes.get(class_id) if kind in {"stock", "warrant"} else None
        return ONE if known is None else known.ratio

    def measure(self, holdings: Mapping[tuple[str, str, str], int]) -> dict[str, Fraction]:
        """Return the shares of each holder as converted, and those of the pool under an empty name."""
        found: dict[str, Fraction] = {}
        for (kind, holder_id, security), shares in holdings.items():
            found[holder_id] = found.get(holder_id, Fraction(0)) + shares * self.find_ratio(kind, security)
        return found

    def find_highest(self, interested: Iterable[str], today: date) -> Fraction | None:
        """Return the highest price in USD that others than these parties made in the last year; None: there is none."""
        left = frozenset(interested)
        valid = (mark for mark in self.marks if mark.day is None or today - mark.day <= VALID)
        return max((mark.price for mark in valid if mark.makers is None or self._counts(mark, left)), default=None)

    def _counts(self, mark: Mark, interested: frozenset[str]) -> bool:
        strangers = ((mark.makers or {})[each] for each in (mark.makers or {}) if each not in interested)
        return self.is_enough(sum(strangers, Fraction(0)), mark.whole, mark.price)

    def is_enough(self, shares: Fraction, whole: Fraction, price: Fraction) -> bool:
        """Return whether shares that strangers bought in a round, at a price in USD, make that count for all.

        `whole` is how many shares the company has after the round.
        """
        paid = sum(self.list_paid().values(), Fraction(0))
        return bool(shares) and shares >= whole * OUTSIDE_MIN and shares * price >= paid * OUTSIDE_MIN

    def list_paid(self) -> dict[str, Fraction]:
        """Return the USD that each party here paid for stock and was not paid back, and for what is open."""
        paid: dict[str, Fraction] = {}
        for lot in (*self.lots, *self.purchases, *self.exercised):
            if lot.holder_id.startswith("pty_"):
                paid[lot.holder_id] = paid.get(lot.holder_id, Fraction(0)) + lot.shares * lot.price
        paid = {each: max(usd - self.paid_back.get(each, Fraction(0)), Fraction(0)) for each, usd in paid.items()}
        for name, holder_id in self.signed.items():
            for each in self.exposures.get(name, ()):
                paid[holder_id] = paid.get(holder_id, Fraction(0)) + Fraction(each["amount_usd"])
        return paid

    def is_bought(self, pricing: Body, shares: int) -> bool:
        """Return whether shares of a round are enough of it, so that the money of those who buy them counts for all."""
        price = Fraction(pricing["price_usd_per_share"])
        return self.is_enough(Fraction(shares), Fraction(pricing["post_money_shares"]), price)

    def find_paid(self, holders: Collection[str], whole: Fraction) -> Fraction:
        """Return the highest value of the company, in USD, at which holders signed a cap or price; 0 for none.

        That is also stock and rights that are not delivered yet, and stock that was issued to them.

        Args:
            holders: They.
            whole: The shares and rights of the company as converted.
        """
        caps = (
            Fraction(terms["valuation_cap_usd"])
            for name, terms in self.signed_terms.items()
            if self.signed[name] in holders and terms.get("valuation_cap_usd") is not None
        )
        prices = (
            lot.price / self.find_ratio("stock", lot.class_id) * whole for lot in self.lots if lot.holder_id in holders
        )
        signed = (
            (self.find_offered(terms, whole) or Fraction(0)) * self.agreed_splits[name] / self.split_ratio
            for name, terms in self.signed_terms.items()
            if self.signed[name] in holders and terms["kind"] in {"stock", "warrant"}
        )
        return max((*caps, *prices, *signed), default=Fraction(0))

    def find_invested(self, holders: Collection[str], whole: Fraction, *, with_caps: bool = True) -> Fraction:
        """Return the highest value of the company, in USD, at which holders, or who they got stock from, invested.

        `with_caps`: also those at which they signed a cap or price. `whole` is as in `find_paid`.
        """
        rows = {(holder_id, class_id) for holder_id in holders for class_id in self.classes}
        while ahead := {giver for giver, taker, _ in self.handed_on if taker in rows} - rows:
            rows |= ahead
        prices = [(lot.class_id, lot.price) for lot in self.lots if (lot.holder_id, lot.class_id) in rows]
        prices += [(taker[1], price) for _, taker, price in self.handed_on if taker in rows]
        values = (price / self.find_ratio("stock", class_id) * whole for class_id, price in prices)
        return max((self.find_paid(holders if with_caps else (), whole), *values))

    def has_stated_part(self, holder_id: str, holdings: Mapping[tuple[str, str, str], int]) -> bool:
        """Return whether all that a holder has is post-money SAFEs with a cap."""
        own = (terms for name, terms in self.signed_terms.items() if self.signed[name] == holder_id)
        holds = any(shares for (_, holder, _), shares in holdings.items() if holder == holder_id)
        return not holds and all(
            each["kind"] == "safe" and each["conversion_timing"] == "post_money" and each.get("valuation_cap_usd")
            for each in own
        )

    def list_principal(self, today: date, holders: Collection[str]) -> dict[str, tuple[str, Fraction]]:
        """Return holder and open principal, with interest, of cash of the last year, and of all that some holders have.

        Theirs counts without priced stock and warrants.
        """
        return {
            name: (holder_id, self.measure_principal(name))
            for name, holder_id in self.signed.items()
            if (name in self.invested and today - self.invested[name] <= VALID)
            or (holder_id in holders and self.signed_terms[name]["kind"] not in {"stock", "warrant"})
        }

    def measure_principal(self, name: str, terms: Body | None = None) -> Fraction:
        """Return the open principal of an instrument with interest to maturity, in USD; `terms`: on these."""
        known = ({**each, "terms": terms or each["terms"]} for each in self.exposures.get(name, ()))
        return sum((Fraction(each["amount_usd"]) * find_growth_of(each) for each in known), Fraction(0))

    def list_protected(
        self, holdings: Mapping[tuple[str, str, str], int], class_id: str, price: Fraction
    ) -> Iterator[str]:
        """Yield who holds protected stock that converts at more than this price, in USD, of a share of a class."""
        common = price / self.find_ratio("stock", class_id)
        for (kind, holder_id, security), shares in holdings.items():
            known = self.classes.get(security) if kind == "stock" and shares else None
            if known is not None and known.protection is not None and known.price / known.ratio > common:
                yield holder_id

    def find_fair(self, class_id: str, interested: Iterable[str], today: date) -> Fraction | None:
        """Return a fair price, in USD, of a share of a class; None if no price of others is known."""
        highest, known = self.find_highest(interested, today), self.classes[class_id]
        converted = None if highest is None else highest * max(ONE, known.ratio)
        if converted is None or known.participates:
            return None if converted is None else converted + known.preference
        return max(converted, known.preference)

    def find_least(self, class_id: str, holders: Collection[str], whole: Fraction) -> Fraction:
        """Return the USD below which a share of a class takes from holders; `whole` is as in `find_paid`.

        That is its preference. Stock that participates takes as much beside as the common stock that it converts into
        is worth at the highest value at which these holders invested.
        """
        known = self.classes.get(class_id)
        if known is None or not known.participates:
            return Fraction(0) if known is None else known.preference
        return known.preference + self.find_invested(holders, whole) / max(whole, ONE) * known.ratio

    def list_outranked(self, holdings: Mapping[tuple[str, str, str], int], class_id: str) -> set[str]:
        """Return who holds preferred stock that ranks behind a class which is younger than the dilution limit."""
        offered = self.classes.get(class_id)
        if offered is None or offered.kind != "preferred" or class_id in self.limited_classes:
            return set()
        junior = {
            name
            for name, each in self.classes.items()
            if each.kind == "preferred" and each.seniority < offered.seniority
        }
        return {holder_id for (kind, holder_id, each), shares in holdings.items() if each in junior and shares}

    def find_mean(self, holder_id: str, class_id: str, *, by_rights: bool = False) -> Fraction:
        """Return what a holder paid on average, in USD, for a share of a class, also `by_rights`; 0 if it got none."""
        own = [*self._list_got(holder_id, class_id, by_rights=by_rights)]
        shares = sum((lot.shares for lot in own), Fraction(0))
        return sum((lot.shares * lot.price for lot in own), Fraction(0)) / shares if shares else Fraction(0)
