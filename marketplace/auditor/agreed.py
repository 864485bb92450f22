"""Checks that an offer of equity for compute dilutes nobody beyond what was agreed: as it is placed, held and locked.

Where others than those who take it hold something, stock and warrants need a dilution limit that was agreed on once all
of them did, and once a class existed that ranks before preferred stock of theirs. They cost no less than the preference
of their class; of stock that participates, with what others paid for the common stock that it converts into. So does
stock that a note chooses for its maturity. A cap or price that values the company below a cap that another holder
signed needs such a limit too; there, one that the takers may have decided alone does not count. Beside this, what
others paid for stock is not looked at. Investors to whom a SAFE or note is large, with open orders and what its taker
has, agreed to a limit too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.equity import Issuer
from marketplace.auditor.notes import find_growth_of
from marketplace.auditor.offers import Offer, Offers
from marketplace.auditor.prices import Company, find_chosen
from marketplace.auditor.refusals import list_outweighed
from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message
from marketplace.auditor.votes import Votes

_BOUGHT: Final = frozenset({"stock", "warrant"})
_CENT: Final = Fraction(1, 100)
Body = Mapping[str, Any]


@dataclass(slots=True)
class Agreed:
    """Checks each offer against the holders and the limit of its issuer. It takes a decision before `votes`.

    Attributes:
        votes: The holders, limits and relations before the decision.
        holders: Who holds what a mandate pays for.
        offers: The offers of orders.
    """

    findings: Findings
    votes: Votes
    holders: dict[str, str] = field(default_factory=dict)
    offers: Offers = field(default_factory=Offers)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        for message in decision:
            if message.event_type == "mandate.granted.v1":
                body = message.read()
                self.holders[body["mandate_id"]] = body["holder_id"]
        counted = [each.read() for each in decision if each.event_type == "issuer.exposure_recorded.v1"]
        for message, offer in self.offers.take(decision):
            self._check(message, offer)
            known = self.votes.gains.find_company(offer.issuer_id).exposures.get(offer.order_id, [])
            own = next((each["exposures"] for each in counted if each["subject_id"] == offer.order_id), known)
            self._check_size(message, offer, own)

    def _check_size(self, message: Message, offer: Offer, own: Sequence[Body]) -> None:
        """Check that investors agreed to a limit to whom it is large with open orders, and what its taker has."""
        if offer.terms["kind"] in _BOUGHT:
            return
        now, company = parse_instant(message.headers["ce-time"]), self.votes.gains.find_company(offer.issuer_id)
        issuer = self.votes.equity.issuers.get(offer.issuer_id, Issuer())
        limited = self.votes.limited.get(offer.issuer_id, set()) if company.limit else set()
        pending = {
            name: ("", company.measure_principal(name))
            for name, exposures in company.exposures.items()
            if name not in company.signed and exposures and exposures[0]["terms"]["kind"] not in _BOUGHT
        }
        for takers in self._list_takers(offer, now):
            principal = company.list_principal(date.max, takers) | pending
            principal[offer.order_id] = (
                min(takers),
                sum((Fraction(each["amount_usd"]) * find_growth_of(each) for each in own), Fraction(0)),
            )
            investors = self.votes.list_entitled(offer.issuer_id) - takers
            inside = takers | self.votes.gains.connect({issuer.company_id}, now)
            large = list_outweighed(company, issuer.holdings, principal, investors, takers=inside, today=now.date())
            text = f"{offer.order_id} is large to {sorted(large - limited)}, who agreed to no limit"
            self.findings.require(large <= limited, "dilution", message.sequence, text)

    def _check(self, message: Message, offer: Offer) -> None:
        now, holding = parse_instant(message.headers["ce-time"]), self.votes.find_holding(offer.issuer_id)
        company = self.votes.gains.find_company(offer.issuer_id)
        limited = self.votes.limited.get(offer.issuer_id, set()) if company.limit else set()
        worth = self._find_worth(company, offer)
        for takers in self._list_takers(offer, now):
            others = holding - takers
            unasked = others - limited
            if offer.terms["kind"] in _BOUGHT:
                text = f"{offer.order_id} offers {offer.terms['kind']}; {sorted(unasked)} agreed to no limit"
                self.findings.require(not unasked, "dilution", message.sequence, text)
            self._check_class(message, offer, company, others)
            paid = max(_list_caps(company, others), default=Fraction(0))
            is_agreed = not unasked and not self._lead(offer.issuer_id, takers)
            text = f"{offer.order_id} values {offer.issuer_id} below {float(paid):.2f} USD, a cap of {sorted(others)}"
            self.findings.require(
                worth is None or worth + _CENT > paid or is_agreed, "dilution", message.sequence, text
            )

    def _check_class(self, message: Message, offer: Offer, company: Company, others: set[str]) -> None:
        """Check what a share of a stated class costs, and that others agreed to one that ranks before theirs."""
        issuer = self.votes.equity.issuers.get(offer.issuer_id, Issuer())
        whole = sum(company.measure(issuer.holdings).values(), Fraction(0))
        class_id, price = find_chosen(offer.terms, whole)
        is_bought = offer.terms["kind"] in _BOUGHT
        if not others or not (is_bought or (class_id and not self.votes.gains.is_main(class_id, offer.issuer_id))):
            return
        if is_bought and offer.split_ratio is not None:
            price *= Fraction(offer.split_ratio) / company.split_ratio
        least, outranked = (
            company.find_least(class_id, others, whole),
            company.list_outranked(issuer.holdings, class_id),
        )
        text = f"{offer.order_id} offers {class_id} at {float(price):.6f}, which takes {float(least):.6f} from others"
        self.findings.require(price >= least, "dilution", message.sequence, text)
        text = f"{offer.order_id} offers {class_id}, which ranks before stock of {sorted(outranked & others)}"
        self.findings.require(not outranked & others, "dilution", message.sequence, text)

    def _list_takers(self, offer: Offer, now: datetime) -> Iterator[set[str]]:
        for holder_id in sorted({self.holders[each] for each in offer.mandate_ids if each in self.holders}):
            yield self.votes.gains.connect({holder_id}, now)

    def _find_worth(self, company: Company, offer: Offer) -> Fraction | None:
        """Return the value of the company in USD at the offered cap or price; None without one."""
        terms = offer.terms
        if terms["kind"] not in _BOUGHT:
            cap = terms.get("valuation_cap_usd")
            return None if cap is None else Fraction(cap)
        since = Fraction(1) if offer.split_ratio is None else company.split_ratio / Fraction(offer.split_ratio)
        issuer = self.votes.equity.issuers.get(offer.issuer_id, Issuer())
        shares = sum(company.measure(issuer.holdings).values(), Fraction(0))
        price = Fraction(terms["price_usd_per_share"]) + Fraction(terms.get("exercise_price_usd") or 0)
        return price / since / company.find_ratio("stock", terms["class_id"]) * shares

    def _lead(self, issuer_id: str, takers: set[str]) -> bool:
        """Return whether takers hold more than half of what parties hold of every class of stock."""
        issuer = self.votes.equity.issuers.get(issuer_id, Issuer())
        lead: dict[str, int] = {}
        for (kind, holder_id, class_id), shares in issuer.holdings.items():
            if kind == "stock" and shares and holder_id.startswith("pty_") and holder_id != issuer.company_id:
                lead[class_id] = lead.get(class_id, 0) + (shares if holder_id in takers else -shares)
        return bool(lead) and all(shares > 0 for shares in lead.values())


def _list_caps(company: Company, holders: set[str]) -> Iterator[Fraction]:
    """Yield the caps of instruments of these holders that are open on the terms at which they were signed."""
    for name, holder_id in company.signed.items():
        terms = company.signed_terms[name]
        is_open = any(
            Fraction(each["amount_usd"]) and each["terms"] == terms for each in company.exposures.get(name, ())
        )
        if holder_id in holders and is_open and terms["kind"] not in _BOUGHT and terms.get("valuation_cap_usd"):
            yield Fraction(terms["valuation_cap_usd"])
