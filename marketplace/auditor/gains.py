"""Computes who gains by an act, so that the others of a group agree by themselves, and which buybacks are too dear.

The prices are computed again from the events. A cap counts as fair if it values the shares and rights that exist no
lower; a post-money cap, with what instruments and open orders become; that of a note, with its interest to maturity.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.consents import Consents
from marketplace.auditor.equity import Issuer
from marketplace.auditor.notes import find_growth
from marketplace.auditor.prices import Company, Round
from marketplace.auditor.relations import Relations

_CENT: Final = Fraction(1, 100)
_POOL_MAX: Final = Fraction(1, 10)
_PROTECTED_MAX: Final = Fraction(1, 20)
_GIVES: Final = frozenset(
    {
        "issuer.option_exercised",
        "issuer.option_granted",
        "issuer.option_promised",
        "issuer.stock_converted",
        "issuer.warrant_exercised",
        "issuer.warrant_issued",
        "instrument.repaid",
    }
)
"""Events by which their holder always gains where a group votes on them."""
ANYONE: Final = ""
"""Gains where it is not known who does: the pool may go to holders without a key."""
Body = Mapping[str, Any]
Bodies = Sequence[tuple[str, Body]]


@dataclass(slots=True)
class Gains:
    """Folds prices, and computes who gains.

    Attributes:
        consents: The companies, and the cap tables before an act.
        relations: Who is related to whom.
        companies: Prices by issuer.
    """

    consents: Consents
    relations: Relations
    companies: dict[str, Company] = field(default_factory=dict)

    def take(self, name: str, body: Body) -> None:
        """Fold one event of an issuer."""
        known = self.companies.setdefault(body["issuer_id"], Company())
        if name == "instrument_signed":
            shares = sum(self._find_issuer(body["issuer_id"]).holdings.values())
            known.signed_shares[body["instrument_id"]] = shares / known.split_ratio
        known.take(name, body, self.consents.companies.get(body["issuer_id"], ""))

    def _find_issuer(self, issuer_id: str) -> Issuer:
        return self.consents.equity.issuers.get(issuer_id, Issuer())

    def find_company(self, issuer_id: str) -> Company:
        """Return the prices of an issuer."""
        return self.companies.get(issuer_id, Company())

    def connect(self, parties: Iterable[str], now: datetime) -> set[str]:
        """Return parties, and all whom firm relations connect with them."""
        return {other for each in parties for other in self.relations.connect(each, now, found=False)}

    def list_gaining(self, name: str, body: Body, issuer_id: str, beside: Bodies, now: datetime) -> set[str]:
        """Return who gains by an event on which groups vote, and all whom firm relations connect with them."""
        return self.connect(self.list_direct(name, body, issuer_id, beside, now), now)

    def list_direct(self, name: str, body: Body, issuer_id: str, beside: Bodies, now: datetime) -> set[str]:
        """Return who itself gains by an event on which groups vote.

        Args:
            name: The event's type.
            body: Its body.
            issuer_id: The issuer whose groups vote.
            beside: Every event of the decision.
            now: When.
        """
        match name:
            case "issuer.stock_issued":
                price = Fraction(body["price_usd_per_share"])
                is_fair = self._is_fair_stock(issuer_id, body["class_id"], price, {body["holder_id"]}, now)
                gaining = set() if is_fair else {body["holder_id"]}
            case "issuer.instrument_signed":
                favoured = {holder_id for holder_id, _ in self.list_electing(issuer_id, beside).values()}
                gaining = set() if self.is_fair_investment(body, now) else {body["holder_id"], *favoured}
            case "issuer.stock_repurchased":
                is_kept = not (self.is_redeemed(name, body) or self.is_dear(name, body, now))
                gaining = set() if is_kept else {body["holder_id"]}
            case "issuer.stock_plan_adjusted" | "issuer.dilution_limited":
                gaining = {ANYONE}
            case "issuer.stock_transferred":
                is_paid = self.is_redeemed(name, body) or self.is_dear(name, body, now)
                gaining = {body["holder_id" if is_paid else "holder_id_after"]}
            case "issuer.warrant_transferred" | "issuer.option_transferred" | "instrument.transferred":
                gaining = {body["holder_id_after"]}
            case "issuer.financing_closed":
                gaining = self._list_round(body, beside, now)
            case "issuer.liquidity_declared":
                gaining = self.list_leaning(issuer_id, body)
            case _:
                gaining = {body["holder_id"]} if name in _GIVES else set()
        return gaining

    def list_electing(self, issuer_id: str, beside: Bodies) -> dict[str, tuple[str, Fraction]]:
        """Return holder and principal of the most-favoured SAFEs that may elect better terms by what is decided."""
        company, found = self.find_company(issuer_id), dict[str, tuple[str, Fraction]]()
        for name, body in beside:
            favoured = body.get("instrument_id", "")
            if name == "instrument.mfn_noticed" and favoured in company.signed:
                own = [each["terms"] for each in company.exposures.get(favoured, ())]
                if any(_is_better(body["terms"], each) for each in own):
                    found[favoured] = company.signed[favoured], company.measure_principal(favoured)
        return found

    def is_redeemed(self, name: str, body: Body) -> bool:
        """Return whether one investor has its money back: by a buyback, stock for the company, or an early repayment.

        Not so if a consolidation pays a fraction, a correction claws stock back, or a sale pays.
        """
        if name == "instrument.repaid":
            return bool(body.get("early"))
        if name not in {"issuer.stock_repurchased", "issuer.stock_transferred"}:
            return False
        issuer, company = self._find_issuer(body["issuer_id"]), self.find_company(body["issuer_id"])
        if body["holder_id"] == issuer.company_id:
            return False
        offered = company.offers.get(body.get("transfer_id") or body.get("cause") or "")
        if name == "issuer.stock_transferred":
            is_own, price = body["holder_id_after"] == issuer.company_id, offered or Fraction(0)
        else:
            is_own = body.get("cause") is None or offered is not None
            price = Fraction(body["price_usd_per_share"])
        return is_own and company.is_redemption(body, price, issuer.holdings)

    def is_dear(self, name: str, body: Body, now: datetime) -> bool:
        """Return whether the company pays a holder more for its stock than it paid, and more than a fair price."""
        issuer_id, holder_id, class_id = body["issuer_id"], body["holder_id"], body["class_id"]
        company, company_id = self.find_company(issuer_id), self._find_issuer(issuer_id).company_id
        if class_id not in company.classes:
            return False
        price = Fraction(body.get("price_usd_per_share", 0))
        if name == "issuer.stock_transferred":
            if body["transfer_id"] not in company.offers or body["holder_id_after"] != company_id:
                return False
            price = company.offers[body["transfer_id"]]
        fair = company.find_fair(class_id, self.connect({company_id, holder_id}, now), now.date())
        return price > max(company.find_mean(holder_id, class_id, by_rights=True), fair or 0)

    def find_independent(self, issuer_id: str, interested: Iterable[str], now: datetime) -> Fraction | None:
        """Return the highest price of a share, in USD, that others than these parties and the company made; or None."""
        company, company_id = self.find_company(issuer_id), self._find_issuer(issuer_id).company_id
        return company.find_highest(self.connect({company_id, *interested}, now), now.date())

    def is_main(self, class_id: str, issuer_id: str) -> bool:
        """Return whether a class is the largest one of common stock."""
        classes = self.find_company(issuer_id).classes.items()
        counts = {each: 0 for each, known in classes if known.kind == "common"}
        for (kind, _, each), shares in self._find_issuer(issuer_id).holdings.items():
            if kind == "stock" and each in counts:
                counts[each] += shares
        return class_id in counts and counts[class_id] == max(counts.values())

    def _is_fair_stock(self, issuer_id: str, class_id: str, price: Fraction, buyers: set[str], now: datetime) -> bool:
        company = self.find_company(issuer_id)
        interested = self.connect({self._find_issuer(issuer_id).company_id, *buyers}, now)
        fair = company.find_fair(class_id, interested, now.date()) if class_id in company.classes else None
        if fair is None or price < fair:
            return False
        value = price / company.find_ratio("stock", class_id) * self._measure_shares(issuer_id)
        return value >= self._find_paid(issuer_id, interested)

    def is_fair_option(self, name: str, body: Body, now: datetime) -> bool:
        """Return whether an option is exercised at a fair price of common stock, by nobody related to the company."""
        issuer_id, holder = body["issuer_id"], body["holder_id"]
        related = self.connect({self._find_issuer(issuer_id).company_id}, now)
        if name != "issuer.option_granted" or holder in related or body.get("exercise_price_usd") is None:
            return False
        price, classes = Fraction(body["exercise_price_usd"]), self.find_company(issuer_id).classes
        main = (each for each in classes if self.is_main(each, issuer_id))
        return any(self._is_fair_stock(issuer_id, each, price, {holder}, now) for each in main)

    def _measure_shares(self, issuer_id: str) -> Fraction:
        return sum(self.find_company(issuer_id).measure(self._find_issuer(issuer_id).holdings).values(), Fraction(0))

    def _find_paid(self, issuer_id: str, interested: set[str], *, with_caps: bool = True) -> Fraction:
        """Return the highest value of the company, in USD, at which other parties that hold something bought stock.

        Also stock that was handed on to them; `with_caps`, also that at which they signed a cap or price.
        """
        issuer, company = self._find_issuer(issuer_id), self.find_company(issuer_id)
        holding = {holder for (_, holder, _), shares in issuer.holdings.items() if shares} | {*company.signed.values()}
        others = (self.consents.parties & holding) - interested - {issuer.company_id}
        return company.find_invested(others, self._measure_shares(issuer_id), with_caps=with_caps)

    def is_fair_investment(self, body: Body, now: datetime) -> bool:
        """Return whether stock costs a fair price, or a cap without a discount values the company no lower."""
        issuer_id, terms, buyer = body["issuer_id"], body["terms"], {body["holder_id"]}
        if terms["kind"] == "stock":
            price = Fraction(terms["price_usd_per_share"])
            return self._is_fair_stock(issuer_id, terms["class_id"], price, buyer, now)
        become = (terms.get("at_maturity") or {}).get("class_id")
        if Fraction(terms.get("repayment_multiple", 1)) > 1 or (become and not self.is_main(become, issuer_id)):
            return False
        cap, issuer = terms.get("valuation_cap_usd"), self._find_issuer(issuer_id)
        company = self.find_company(issuer_id)
        interested = self.connect({issuer.company_id} | buyer, now)
        fair = company.find_highest(interested, now.date())
        if terms["kind"] == "warrant" or fair is None or cap is None or Fraction(terms.get("discount") or 0):
            return False
        if Fraction(cap) < self._find_paid(issuer_id, interested):
            return False
        shares = self._measure_valued(terms, issuer_id, now.date())
        return shares is not None and Fraction(cap) >= fair * shares

    def _measure_valued(self, terms: Body, issuer_id: str, today: date) -> Fraction | None:
        """Return the shares and rights that a cap values; None if it is not known what instruments become."""
        company = self.find_company(issuer_id)
        shares = self._measure_shares(issuer_id)
        if terms["kind"] == "note":
            return shares * find_growth(terms, today)
        return company.measure_whole(shares) if terms["conversion_timing"] == "post_money" else shares

    def find_round(self, body: Body, beside: Bodies) -> tuple[Round, Body]:
        """Return the round that closes, and its pricing, which may be computed again as it closes."""
        known = self.find_company(body["issuer_id"]).rounds.get(body["financing_id"])
        found = Round({"terms": {"investments": []}}) if known is None else known
        priced = next((each for name, each in beside if name == "issuer.financing_priced"), found.priced)
        empty = {"allotments": [], "conversions": [], "forfeits": [], "price_usd_per_share": 0, "post_money_shares": 0}
        return found, priced.get("pricing", empty)

    def _list_round(self, body: Body, beside: Bodies, now: datetime) -> set[str]:
        """Return who buys in a round, or may buy its whole part, unless its price is fair, and whose warrants gain.

        If outsiders buy enough of it, only who gains by more than the price.
        """
        issuer, company = self._find_issuer(body["issuer_id"]), self.find_company(body["issuer_id"])
        closing, pricing = self.find_round(body, beside)
        buyers = {each["holder_id"]: each["shares"] for each in pricing["allotments"]}
        related = self.connect({issuer.company_id}, now)
        inside = (
            related
            | {*company.signed.values()}
            | {holder for (_, holder, _), shares in issuer.holdings.items() if shares}
        )
        here = {buyer: shares for buyer, shares in buyers.items() if buyer.startswith("pty_")}
        outside = sum(shares for buyer, shares in here.items() if inside.isdisjoint(self.connect({buyer}, now)))
        unknown = _list_beyond_money(closing.opened["terms"], [pricing, *company.list_recent(now.date())], issuer)
        if company.is_bought(pricing, outside):
            return unknown
        unknown |= {ANYONE} if pricing.get("pool_increase_shares") else set()
        waiting = {
            holder
            for (kind, holder, name), shares in issuer.holdings.items()
            if kind == "warrant" and shares and holder.startswith("pty_") and issuer.warrants[name].gains_by_price
        }
        interested, price = related | self.connect(buyers, now), Fraction(pricing["price_usd_per_share"])
        fair = company.find_highest(interested, now.date())
        is_fair = fair is not None and price >= fair
        waiting = waiting if fair is None or is_fair else set()
        value = price * self._measure_shares(body["issuer_id"])
        is_fair = is_fair and value >= self._find_paid(body["issuer_id"], interested, with_caps=False)
        if is_fair and _is_usual(closing.opened["terms"]):
            return waiting | unknown
        return {*buyers, *_list_offered(closing, issuer, company.named), *waiting, *unknown}

    def list_overcharged(self, body: Body, beside: Bodies, voting: set[str], expired: set[str]) -> set[str]:
        """Return who loses preferred stock in a round by a duty above its part of the parties' money, or above others'.

        Args:
            body: The closing.
            beside: Every event of the decision.
            voting: Parties that are here, without the company.
            expired: Warrants that can no longer be exercised.
        """
        closing, pricing = self.find_round(body, beside)
        duties = (closing.opened["terms"].get("pay_to_play") or {}).get("duties", ())
        issuer = self._find_issuer(body["issuer_id"])
        owned = list_owned(issuer, expired)
        paid = closing.sum_investments()
        money = sum((amount for holder_id, amount in paid.items() if holder_id in voting), Fraction(0))
        forfeiting = {each["holder_id"] for each in pricing["forfeits"]}
        return {
            duty["holder_id"]
            for duty in duties
            if duty["holder_id"] in forfeiting
            and (
                Fraction(duty["obligation_usd"]) > owned.get(duty["holder_id"], Fraction(0)) * money
                or _spares_others(duty, duties, issuer, voting)
            )
        }

    def list_leaning(self, issuer_id: str, sale: Body) -> set[str]:
        """Return who owns a greater part of the other side of a sale than of its own."""
        stock, assumed = sale["waterfall"].get("stock") or {}, sale.get("assumed") or {}
        buyer_id = stock.get("buyer_issuer_id") or assumed.get("issuer_id")
        if buyer_id is None:
            return set()
        other_id = sale["issuer_id"] if issuer_id == buyer_id else buyer_id
        own, other = self._list_parts(issuer_id), self._list_parts(other_id, is_other=True)
        return {holder_id for holder_id, part in other.items() if holder_id and part > own.get(holder_id, 0)}

    def _list_parts(self, issuer_id: str, *, is_other: bool = False) -> dict[str, Fraction]:
        """Return which part of the stock each holder has or asks for; of the other side, also by rights to stock."""
        company, holdings = self.find_company(issuer_id), self._find_issuer(issuer_id).holdings
        shares = company.measure(holdings)
        stock = company.measure({row: held for row, held in holdings.items() if row[0] == "stock"})
        whole = max(sum(stock.values(), Fraction(0)), Fraction(1))
        parts = {holder_id: each / whole for holder_id, each in (shares if is_other else stock).items() if each}
        for holder_id, part in company.list_claims(Fraction(is_other), sum(shares.values(), Fraction(0))):
            parts[holder_id] = parts.get(holder_id, Fraction(0)) + part
        return parts


def _list_offered(closing: Round, issuer: Issuer, named: Iterable[str]) -> Iterator[str]:
    """Yield who may buy its whole part of a round, by a right that holder terms name or by a duty."""
    invested: dict[str, Fraction] = {}
    for each in closing.opened["terms"]["investments"]:
        invested[each["holder_id"]] = Fraction(each["amount_usd"])
    owned, money = list_owned(issuer), sum(invested.values(), Fraction(0))
    for offer in closing.list_offers():
        holder_id, duty = offer["holder_id"], offer.get("duty")
        part = Fraction(int(owned.get(holder_id, Fraction(0)) * money * 100), 100)
        if holder_id in set(named):
            is_whole = Fraction(offer["amount_max_usd"]) + invested.get(holder_id, 0) >= part
        else:
            is_whole = duty is not None and Fraction(duty["obligation_usd"]) >= part
        if is_whole:
            yield holder_id


def _is_better(terms: Body, own: Body) -> bool:
    """Return whether terms may be better for the holder of a SAFE than its own, by their cap or their discount."""
    if Fraction(terms.get("discount") or 0) > Fraction(own.get("discount") or 0):
        return True
    caps = [each.get("valuation_cap_usd") for each in (terms, own)]
    if caps[0] is None or caps[1] is None:
        return caps[0] is not None
    is_later = (terms["conversion_timing"], own["conversion_timing"]) == ("post_money", "pre_money")
    return is_later or Fraction(caps[0]) < Fraction(caps[1])


def _is_usual(terms: Body) -> bool:
    """Return whether the stock of a round has at most a single preference, and nothing beside it."""
    single = Fraction(terms.get("liquidation_multiple", 1)) <= 1
    return single and terms.get("participation", "none") == "none" and terms.get("price_protection") is None


def _list_beyond_money(terms: Body, rounds: Sequence[Body], issuer: Issuer) -> set[str]:
    """Return who gains by a round beyond what its money buys; `ANYONE` where that may be anybody.

    By a preference of more than the money, participation or a full ratchet; by more than a tenth of the company for the
    pool; by more than a twentieth for classes whose price is protected. The pricings are its own and then those of
    other rounds of the year, whose pools and protection count too.
    """
    gained = [_sum_protected(each) for each in rounds]
    if gained[0] and sum(gained) > _PROTECTED_MAX:
        lowered = {row["class_id"] for each in rounds for row in each.get("adjustments", ()) if row["triggered"]}
        return {ANYONE} | {
            holder_id
            for (kind, holder_id, class_id), shares in issuer.holdings.items()
            if kind == "stock" and class_id in lowered and shares
        }
    is_multiple = Fraction(terms.get("liquidation_multiple", 1)) > 1 or terms.get("participation", "none") != "none"
    pools = [Fraction(each.get("pool_increase_shares", 0), max(each["post_money_shares"], 1)) for each in rounds]
    is_pool = pools[0] and sum(pools) > _POOL_MAX
    return {ANYONE} if is_multiple or is_pool or terms.get("price_protection") == "full_ratchet" else set()


def _sum_protected(pricing: Body) -> Fraction:
    """Return the part of the company that protected classes get by a round."""
    rows = pricing.get("adjustments", ())
    gained = sum((Fraction(row["as_converted"]) - Fraction(row["as_converted_before"]) for row in rows), Fraction(0))
    return gained / max(int(pricing["post_money_shares"]), 1)


def _spares_others(duty: Body, duties: Sequence[Body], issuer: Issuer, voting: set[str]) -> bool:
    """Return whether another party here holds the class without a duty, or owes less a share, by more than a cent."""
    class_id, holder_id = duty["class_id"], duty["holder_id"]
    shares = {
        owner: held for (kind, owner, each), held in issuer.holdings.items() if (kind, each) == ("stock", class_id)
    }
    owed = {each["holder_id"]: Fraction(each["obligation_usd"]) for each in duties if each["class_id"] == class_id}
    return any(
        other not in owed or (owed[other] + _CENT) * shares.get(holder_id, 0) < owed[holder_id] * shares[other]
        for other in voting & shares.keys() - {holder_id}
        if shares[other]
    )


def list_owned(issuer: Issuer, expired: Iterable[str] = ()) -> dict[str, Fraction]:
    """Return each holder's part of all shares and rights as issued, without those of expired warrants."""
    rows = {row: shares for row, shares in issuer.holdings.items() if row[2] not in set(expired)}
    whole, owned = sum(rows.values()), dict[str, Fraction]()
    for (_, holder_id, _), shares in rows.items():
        if shares:
            owned[holder_id] = owned.get(holder_id, Fraction(0)) + Fraction(shares, whole)
    return owned
