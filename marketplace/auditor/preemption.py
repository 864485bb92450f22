"""Checks pro rata rights: investors are offered their part of a round, and may refuse an issue beside one in time.

`Company.list_investors` states who is an investor.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.equity import Issuer
from marketplace.auditor.gains import list_owned
from marketplace.auditor.notes import find_growth_of
from marketplace.auditor.prices import Company, Round, find_chosen, find_strike
from marketplace.auditor.refusals import Heard, Refusals, list_outweighed, measure_stock, weigh
from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message, is_of_parties
from marketplace.auditor.votes import Votes

OFFERS_MAX: Final = 50
"""The most holders that are offered a part of one round by right alone."""
DAYS_MIN: Final = timedelta(days=7)
_CLOSED: Final = "issuer.financing_closed.v1"
_PRICED: Final = frozenset({"stock", "warrant"})
_POOL: Final = "issuer.stock_plan_adjusted"
_COUNTED: Final = frozenset({"issuer.purchases_stated", "issuer.programme_grant_added"})
"""What may vest a warrant that an investor could have refused."""
_USUAL: Final = {"discount": Fraction(3, 10), "annual_rate": Fraction(1, 5), "repayment_multiple": Fraction(1)}
"""The most that a SAFE or note takes beside its cap without a right of others to buy their part."""
Body = Mapping[str, Any]


@dataclass(slots=True)
class Preemption:
    """Checks offers and issues. It takes a decision before the votes and the cap tables do.

    Attributes:
        votes: The cap tables, terms, prices and parties before a decision.
        entitled: Who had a pro rata right as each proposal was made.
        refusals: Who refused an issue, and what the investors of each one may do against it.
    """

    findings: Findings
    votes: Votes
    entitled: dict[str, set[str]] = field(default_factory=dict)
    refusals: Refusals = field(default_factory=Refusals)

    def take(self, decision: Sequence[Message]) -> None:
        """Check one command."""
        bodies = [(message.event_type.removesuffix(".v1"), message.read()) for message in decision]
        if any(name == "issuer.imported" for name, _ in bodies):
            return
        now, sequence = parse_instant(decision[0].headers["ce-time"]), decision[-1].sequence
        self._check_repaid(decision, bodies)
        for name, body in bodies:
            problem = None
            if name == "proposal.made":
                self.entitled[body["proposal_id"]] = self.votes.list_entitled(body["issuer_id"])
                self._hear(body, now)
                self._notify(body)
            elif name in {"proposal.refused", "issuer.refusal_counted"}:
                problem = self._take_refusal(name, body, decision[0].headers.get("ce-actor"), now)
            elif name == "issuer.financing_opened":
                problem = self._check_offers(body, now)
            elif name == "issuer.financing_priced":
                problem = self._check_answers(body, now, bodies)
            elif name == "issuer.financing_closed":
                problem = self._check_silent(body, now) or self._check_outdated(body, decision, bodies, now)
            elif name == "issuer.financing_abandoned" and not is_of_parties(decision):
                problem = (
                    self._check_lapse(body, now) if decision[0].headers["ce-actor"].startswith("worker:") else None
                )
            elif is_of_parties(decision):
                problem = self._check_silence(name, body, decision, bodies)
            text = f"{name} of {body.get('issuer_id')}: {problem}"
            self.findings.require(problem is None, "pro_rata", sequence, text)

    def _check_repaid(self, decision: Sequence[Message], bodies: Sequence[tuple[str, Body]]) -> None:
        """Check that the holder of a note that runs, or counts in an open round, agreed to its repayment."""
        for body in (each for name, each in bodies if name == "instrument.repaid" and each["cause"].startswith("pay_")):
            rounds = self.votes.gains.find_company(body["issuer_id"]).rounds.values()
            converts = body.get("early") or any(not each.ended for each in rounds)
            is_agreed = not converts or body["holder_id"] in self.votes.list_agreed(decision, bodies)
            text = f"{body['instrument_id']} is repaid without its holder, though it could still convert"
            self.findings.require(is_agreed, "consent", decision[-1].sequence, text)

    def _check_offers(self, opened: Body, now: datetime) -> str | None:
        """Return what is wrong with the offers of a round; None if each investor has its part, and time to take it."""
        offers = {each["holder_id"]: Fraction(each["amount_max_usd"]) for each in opened.get("pro_rata", ())}
        if offers and parse_instant(opened["pro_rata_until"]) < now + DAYS_MIN:
            return f"it may be joined by right only until {opened['pro_rata_until']}"
        for holder_id, due in self._list_due(opened, now):
            is_left_out = holder_id not in offers and _is_full(opened["pro_rata"], due)
            if offers.get(holder_id, 0) < due and not is_left_out:
                return f"{holder_id} is offered {offers.get(holder_id, 0)} USD, its part is {due}"
        return None

    def _list_due(self, opened: Body, now: datetime) -> Iterator[tuple[str, Fraction]]:
        """Yield who has a right to its part of a round, and the USD of that."""
        investments = {each["holder_id"]: Fraction(each["amount_usd"]) for each in opened["terms"]["investments"]}
        money, parts = sum(investments.values(), Fraction(0)), self._measure_parts(opened, now)
        for holder_id in sorted(self.votes.list_entitled(opened["issuer_id"])):
            part = min(parts.get(holder_id, Fraction(0)), Fraction(1)) * money - investments.get(holder_id, 0)
            yield holder_id, Fraction(int(max(part, Fraction(0)) * 100), 100)

    def _measure_parts(self, opened: Body, now: datetime) -> dict[str, Fraction]:
        """Return each holder's part of the shares and rights that exist, and of what its instruments ask for."""
        issuer = self.votes.equity.issuers.get(opened["issuer_id"], Issuer())
        company = self.votes.gains.find_company(opened["issuer_id"])
        parts = list_owned(issuer, {each for each, right in self.votes.rights.items() if now > right.expires_at})
        whole = sum(company.measure(issuer.holdings).values(), Fraction(0))
        for name, holder_id in company.signed.items():
            for each in company.exposures.get(name, ()):
                claim = company.find_claim(name, each, whole)
                stated = (
                    Fraction(each["amount_usd"]) * find_growth_of(each) / Fraction(opened["terms"]["pre_money_usd"])
                )
                parts[holder_id] = parts.get(holder_id, Fraction(0)) + (stated if claim is None else claim[0])
        return parts

    def _find_round(self, body: Body) -> Round | None:
        return self.votes.gains.find_company(body["issuer_id"]).rounds.get(body["financing_id"])

    def _check_silent(self, body: Body, now: datetime) -> str | None:
        """Return what is wrong if a round is priced or closed while somebody may still join it by right."""
        known = self._find_round(body)
        silent = set() if known is None else known.list_silent(now)
        return f"{', '.join(sorted(silent))} may still join it" if silent else None

    def _notify(self, made: Body) -> None:
        """Note whose silence agrees to a closing: those who had answered before it got worse for them."""
        closing = [json.loads(each["body_json"]) for each in made["effects"] if each["type"] == _CLOSED]
        for known in filter(None, map(self._find_round, closing)):
            proposal = self.votes.consents.proposals[made["proposal_id"]]
            proposal.leaving |= {f"holder/{holder_id}" for holder_id in known.list_diluted()}

    def _check_outdated(
        self, body: Body, decision: Sequence[Message], bodies: Sequence[tuple[str, Body]], now: datetime
    ) -> str | None:
        """Return what is wrong if who took a part did not have time to refuse what was signed since.

        What is signed while the closing waits for agreements voids it, unless its shares stay nearly the same.
        """
        known = self._find_round(body)
        diluted = set() if known is None or not is_of_parties(decision) else known.list_diluted()
        carried = next((each["proposal_id"] for kind, each in bodies if kind == "proposal.carried_out"), "")
        proposal = self.votes.consents.proposals.get(carried)
        diluted -= self.votes.list_agreed(decision, bodies)
        if proposal is not None:
            diluted = {each for each in diluted if f"holder/{each}" in proposal.leaving} - proposal.list_waiving(now)
        return f"{', '.join(sorted(diluted))} answered before it changed" if diluted else None

    def _check_answers(self, priced: Body, now: datetime, bodies: Sequence[tuple[str, Body]]) -> str | None:
        """Return what is wrong with a pricing: too early or too late, or without the offers that are due."""
        known = self._find_round(priced)
        if known is None or any(name == "issuer.financing_closed" for name, _ in bodies):
            return None  # a round that is priced once more as it closes was proposed in time
        until = known.find_open_until()
        if until is not None and now >= until:
            return f"it could be priced until {until}"
        offers = priced.get("pro_rata") or known.list_offers()
        offered = {each["holder_id"] for each in offers}
        before = {each["holder_id"] for each in known.list_offers()}
        for each in offers:
            if each["holder_id"] not in before and parse_instant(each["until"]) < now + DAYS_MIN:
                return f"{each['holder_id']} may join it only until {each['until']}"
        for holder_id, due in self._list_due(known.opened, now):
            if due and holder_id not in offered and not _is_full(offers, due):
                return f"{holder_id} joined since, and is offered nothing"
        return self._check_silent(priced, now)

    def _check_lapse(self, body: Body, now: datetime) -> str | None:
        """Return what is wrong if the worker ends a round that may still be priced, or close at its price."""
        known = self._find_round(body)
        close_until = None if known is None else known.priced.get("close_until")
        times = [None if close_until is None else parse_instant(close_until)]
        times += [] if known is None else [known.find_open_until()]
        early = [each for each in times if each is not None and now < each]
        return f"it had time until {max(early)}" if early else None

    def _take_refusal(self, name: str, body: Body, actor: str | None, now: datetime) -> str | None:
        """Fold a refusal, or the end of one; return what is wrong with the latter."""
        if name == "issuer.refusal_counted":
            known = self.refusals.standing.get((body["issuer_id"], body["party_id"]), {})
            is_own = body.get("stands", True) or (actor == body["party_id"] and known.pop(body["proposal_id"], None))
            return None if is_own else f"{actor} takes back the refusal of {body['party_id']}"
        self._stand(body, now)
        return None

    def _stand(self, body: Body, now: datetime) -> None:
        known = self.votes.consents.proposals.get(body["proposal_id"])
        heard = self.refusals.heard.get(body["proposal_id"])
        if known is None or heard is None or body["party_id"] not in heard.weights:
            return
        company_id = self.votes.equity.issuers.get(heard.issuer_id, Issuer()).company_id
        is_own = heard.issuer_id == known.made["issuer_id"]
        agrees = company_id in {known.made["proposer_id"], *known.agreed}
        if agrees if is_own else known.buyer_agreed_at is not None:
            row = heard.issuer_id, body["party_id"]
            self.refusals.standing.setdefault(row, {})[body["proposal_id"]] = now

    def _hear(self, made: Body, now: datetime) -> None:
        """Compute what the investors may do against an issue that is proposed."""
        bodies = [(each["type"].removesuffix(".v1"), json.loads(each["body_json"])) for each in made["effects"]]
        sold = next((found for each in bodies if (found := self._find_sold(*each, bodies, now)) is not None), None)
        sale = next((body for name, body in bodies if name == "issuer.liquidity_declared"), None)
        if sale is not None:
            self._hear_buyer(made["proposal_id"], sale, now)
        if sold is None:
            return
        name, body = sold
        issuer_id, company = body["issuer_id"], self.votes.gains.find_company(body["issuer_id"])
        issuer = self.votes.equity.issuers.get(issuer_id, Issuer())
        is_redeemed = name in {"issuer.warrant_exercised", _POOL, *_COUNTED} or self._is_redeemed(name, body)
        named = () if is_redeemed else company.named
        investors = self.votes.list_entitled(issuer_id) | self.votes.list_undercut(name, body, now)
        own = self.votes.list_counting(body, now) if name in _COUNTED else {body.get("holder_id", issuer.company_id)}
        investors -= {*own, *named, body.get("customer_id"), body.get("vendor_id")}
        takers = self.votes.gains.connect({issuer.company_id, *own}, now)
        if name == "instrument.amended" or not (name.endswith("signed") and self._is_fair(body, now)):
            takers |= self._list_electing(issuer_id, bodies, now)
        weights, is_small = weigh(company, issuer.holdings, investors, takers), False
        if name == "issuer.warrant_issued":
            bought = body["shares"] * company.find_ratio("stock", body["class_id"])
            stock = sum(measure_stock(company, issuer.holdings).values(), Fraction(0))
            is_small, harmed = bought * 10 <= stock + bought, investors
            is_small &= not self._is_below_preference(body, find_strike(body))
        elif name in _COUNTED:
            harmed = investors if self._is_below(body, now) else set()
        elif name == _POOL:
            harmed = set()
        elif is_redeemed:
            harmed = investors
        else:
            harmed = {each for each in investors if self._pays_less(issuer_id, _read_terms(name, body), each)}
            harmed |= self._list_outweighed(name, body, bodies, now) & investors
        heard = self.refusals.hear(issuer_id, weights, harmed, now, is_small=is_small)
        self.refusals.heard[made["proposal_id"]] = heard

    def _is_below(self, counted: Body, now: datetime) -> bool:
        """Return whether a warrant that counts purchases costs less than its share gets before common stock."""
        warrants = self.votes.equity.issuers.get(counted["issuer_id"], Issuer()).warrants
        return any(
            self._is_below_preference(right.issued, warrants[warrant_id].find_price())
            for warrant_id, right in self.votes.list_live(counted, now)
        )

    def _is_below_preference(self, warrant: Body, price: Fraction) -> bool:
        """Return whether a share gets more before common stock than a warrant pays for it, in USD."""
        known = self.votes.gains.find_company(warrant["issuer_id"]).classes.get(warrant["class_id"])
        return known is not None and known.preference > price

    def _hear_buyer(self, proposal_id: str, sale: Body, now: datetime) -> None:
        """Compute what a buyer's investors may do against the stock that it pays with; as for a small warrant."""
        buyer_id = _find_buyer(sale)
        if buyer_id is None:
            return
        company, issuer = self.votes.gains.find_company(buyer_id), self.votes.equity.issuers.get(buyer_id, Issuer())
        investors = self.votes.list_entitled(buyer_id).difference(company.named)
        takers = self.votes.gains.connect({issuer.company_id, *self.votes.gains.list_leaning(buyer_id, sale)}, now)
        weights = weigh(company, issuer.holdings, investors, takers)
        heard = self.refusals.hear(buyer_id, weights, investors, now, is_small=True)
        self.refusals.heard[proposal_id] = heard

    def _find_sold(
        self, name: str, body: Body, bodies: Sequence[tuple[str, Body]], now: datetime
    ) -> tuple[str, Body] | None:
        """Return an event by which somebody gets what investors might buy a part of, or has its money back; or None."""
        match name:
            case "issuer.stock_issued" | "issuer.warrant_issued":
                is_sold = body.get("cause") is None
            case "issuer.warrant_exercised":
                is_sold = self.votes.is_at_own_value(body, now)
            case "issuer.stock_plan_adjusted" if body.get("cause") is None:
                is_sold = self._is_large_pool(body)
            case _ if name in _COUNTED:
                is_sold = body.get("delivered_before", True) and bool(self.votes.list_counting(body, now))
            case "issuer.instrument_signed":
                cash = any(each == "instrument.principal_accrued" for each, _ in bodies)
                priced = body["terms"]["kind"] in _PRICED
                is_sold = priced or self._is_cheap(body, now) or bool(self._list_outweighed(name, body, bodies, now))
                is_sold = cash and is_sold
            case "instrument.amended" if body["instrument_id"] in self.votes.papers:
                paper = self.votes.papers[body["instrument_id"]]
                company = self.votes.gains.find_company(paper.issuer_id)
                before = company.signed_terms.get(body["instrument_id"], {})
                body = {**body, "issuer_id": paper.issuer_id, "holder_id": paper.holder_id}
                is_sold = _gives_more(body["terms"], before) and self._undercuts(body, now)
                is_sold = is_sold or self._is_redeemed(name, body)
                is_sold = is_sold or bool(self._list_outweighed(name, body, bodies, now))
            case _:
                is_sold = self._is_redeemed(name, body)
        return (name, body) if is_sold else None

    def _is_large_pool(self, adjusted: Body) -> bool:
        """Return whether a pool grows to more, with what was granted of it, than a tenth of stock and pool."""
        issuer_id, reserved = adjusted["issuer_id"], adjusted["shares_reserved"]
        company, issuer = self.votes.gains.find_company(issuer_id), self.votes.equity.issuers.get(issuer_id, Issuer())
        stock = sum(measure_stock(company, issuer.holdings).values(), Fraction(0))
        return bool(reserved > issuer.reserved and reserved * 10 > stock + reserved)

    def _is_redeemed(self, name: str, body: Body) -> bool:
        """Return whether one investor has its money back: now, or sooner than its note said, or in place of stock."""
        if name != "instrument.amended":
            return self.votes.gains.is_redeemed(name, body)
        exposures = self.votes.gains.find_company(body["issuer_id"]).exposures.get(body["instrument_id"], ())
        terms, owed = body["terms"], [each["terms"] for each in exposures]
        is_due = terms["kind"] == "note" and terms.get("at_maturity") is None
        return is_due and any(each.get("at_maturity") or terms["matures_on"] < each["matures_on"] for each in owed)

    def _check_silence(
        self, name: str, body: Body, decision: Sequence[Message], bodies: Sequence[tuple[str, Body]]
    ) -> str | None:
        """Return what is wrong if investors have neither agreed to what dilutes them nor been silent in time."""
        if name == "issuer.liquidity_declared":
            return self._check_buyer(body, decision, bodies)
        now = parse_instant(decision[0].headers["ce-time"])
        sold = self._find_sold(name, body, bodies, now)
        if sold is None:
            return None
        body = sold[1]
        undercut = self.votes.list_undercut(name, body, now)
        asked = (self.votes.list_entitled(body["issuer_id"]) | undercut) - {body.get("holder_id")}
        carried = next((each["proposal_id"] for kind, each in bodies if kind == "proposal.carried_out"), "")
        proposal = self.votes.consents.proposals.get(carried)
        silent = asked - self.votes.list_agreed(decision, bodies)
        if proposal is not None:
            heard = self.refusals.heard.get(carried, Heard("", frozenset(), {}, is_overcome=False))
            silent -= proposal.list_waiving(now) - heard.apart
            silent -= heard.list_overcome(proposal.refused & silent)
            known, harmed = self.entitled.get(carried, set()), self._list_harmed(name, body, bodies, now, silent)
            silent &= known | harmed | undercut
        return f"{', '.join(sorted(silent))} had no time to refuse it" if silent else None

    def _check_buyer(self, body: Body, decision: Sequence[Message], bodies: Sequence[tuple[str, Body]]) -> str | None:
        """Return what is wrong if investors of a buyer had no time to refuse the stock that it pays with.

        Those overcome a refusal who bear nine tenths of what its investors paid or hold.
        """
        buyer_id = _find_buyer(body)
        if buyer_id is None:
            return None
        silent = self.votes.list_entitled(buyer_id) - self.votes.list_agreed(decision, bodies)
        carried = next((each["proposal_id"] for kind, each in bodies if kind == "proposal.carried_out"), "")
        proposal, heard = self.votes.consents.proposals.get(carried), self.refusals.heard.get(carried)
        if proposal is not None and heard is not None:
            silent -= heard.list_overcome(proposal.refused & silent)
            silent -= proposal.list_waiving(parse_instant(decision[0].headers["ce-time"])) & set(heard.weights)
        return f"{', '.join(sorted(silent))} had no time to refuse it" if silent else None

    def _list_harmed(
        self, name: str, body: Body, bodies: Sequence[tuple[str, Body]], now: datetime, investors: set[str]
    ) -> set[str]:
        """Return the investors that an act may take from, although they joined since it was proposed.

        A warrant, and money back for another one, may take from all of them.
        """
        if name in {"issuer.warrant_issued", "issuer.warrant_exercised", _POOL, *_COUNTED} or self._is_redeemed(
            name, body
        ):
            return investors
        terms, large = _read_terms(name, body), self._list_outweighed(name, body, bodies, now)
        return {each for each in investors if each in large or self._pays_less(body["issuer_id"], terms, each)}

    def _pays_less(self, issuer_id: str, terms: Body, holder_id: str) -> bool:
        """Return whether an offer may take from a holder that joined since it was proposed, and paid more."""
        company, issuer = self.votes.gains.find_company(issuer_id), self.votes.equity.issuers.get(issuer_id, Issuer())
        whole = sum(company.measure(issuer.holdings).values(), Fraction(0))
        class_id, price = find_chosen(terms, whole)
        if company.find_least(class_id, {holder_id}, whole) > price:
            return True
        if any(Fraction(terms.get(name) or 0) > most for name, most in _USUAL.items()):
            return True
        if company.has_stated_part(holder_id, issuer.holdings):
            return False
        value, paid = company.find_offered(terms, whole), company.find_paid({holder_id}, whole)
        return value is not None and value < paid

    def _is_cheap(self, signed: Body, now: datetime) -> bool:
        """Return whether a SAFE or note for cash is neither at a fair price nor at one that the holders paid."""
        return not self._is_fair(signed, now) and self._undercuts(signed, now)

    def _is_fair(self, signed: Body, now: datetime) -> bool:
        return self.votes.gains.is_fair_investment(signed, now)

    def _list_electing(self, issuer_id: str, bodies: Sequence[tuple[str, Body]], now: datetime) -> set[str]:
        """Return who holds most-favoured SAFEs that may elect better terms by an act, with all who are related."""
        electing = self.votes.gains.list_electing(issuer_id, bodies).values()
        return self.votes.gains.connect({holder_id for holder_id, _ in electing}, now)

    def _list_outweighed(self, name: str, body: Body, bodies: Sequence[tuple[str, Body]], now: datetime) -> set[str]:
        """Return the investors to whom a SAFE or note for cash, or better terms of one, is large.

        Counted is the principal of others: its own, what was invested in cash in the last year, what its holder and who
        is related to it has for compute, and most-favoured SAFEs that may elect its terms.
        """
        issuer_id, holder_id = body["issuer_id"], body["holder_id"]
        company, issuer = self.votes.gains.find_company(issuer_id), self.votes.equity.issuers.get(issuer_id, Issuer())
        own = None if name.startswith("issuer.stock") else self._measure_own(name, body, company, now)
        if own is None:
            return set()
        related = self.votes.gains.connect({holder_id}, now)
        principal = company.list_principal(now.date(), related) | self.votes.gains.list_electing(issuer_id, bodies)
        principal[body["instrument_id"]] = holder_id, own
        takers = self.votes.gains.connect({issuer.company_id, holder_id}, now)
        takers |= self._list_electing(issuer_id, bodies, now)
        investors = self.votes.list_entitled(issuer_id) - {holder_id}
        return list_outweighed(company, issuer.holdings, principal, investors, takers=takers, today=now.date())

    def _measure_own(self, name: str, body: Body, company: Company, now: datetime) -> Fraction | None:
        """Return the principal, with interest, of a SAFE or note that is signed, or of one whose terms get better."""
        if body["terms"]["kind"] in _PRICED:
            return None
        if name == "issuer.instrument_signed":
            since = {"terms": body["terms"], "interest_from": now.date().isoformat()}
            return Fraction(body["commitment_usd"]) * find_growth_of(since)
        before, own = (
            company.signed_terms.get(body["instrument_id"], {}),
            company.measure_principal(body["instrument_id"], body["terms"]),
        )
        grows = own > company.measure_principal(body["instrument_id"])
        return own if grows or _gives_more(body["terms"], before) else None

    def _undercuts(self, body: Body, now: datetime) -> bool:
        """Return whether terms value the company below what others than their taker paid, or take more beside."""
        issuer_id, terms = body["issuer_id"], body["terms"]
        takers = self.votes.gains.connect({body["holder_id"]}, now)
        others = self.votes.find_holding(issuer_id) - takers
        if not others:
            return False
        become = (terms.get("at_maturity") or {}).get("class_id")
        if terms["kind"] in _PRICED or (become and not self.votes.gains.is_main(become, issuer_id)):
            return True
        if any(Fraction(terms.get(name) or 0) > most for name, most in _USUAL.items()):
            return True
        company = self.votes.gains.find_company(issuer_id)
        issuer, cap = self.votes.equity.issuers.get(issuer_id, Issuer()), terms.get("valuation_cap_usd")
        whole = sum(company.measure(issuer.holdings).values(), Fraction(0))
        return cap is not None and Fraction(cap) < company.find_paid(others, whole)


def _is_full(offers: Sequence[Body], due: Fraction) -> bool:
    """Return whether a round offers as many parts as it may, and none by right alone that is less than what is due."""
    least = min((Fraction(each["amount_max_usd"]) for each in offers if not each.get("duty")), default=due)
    return len(offers) >= OFFERS_MAX and least >= due


def _find_buyer(sale: Body) -> str | None:
    """Return the issuer that pays for a sale with its stock; None if there is none here."""
    found: str | None = (sale["waterfall"].get("stock") or {}).get("buyer_issuer_id")
    return found


def _read_terms(name: str, body: Body) -> Body:
    """Return the terms of what is sold; none of a warrant."""
    return {"kind": "stock", **body} if name == "issuer.stock_issued" else body.get("terms", {})


def _gives_more(terms: Body, before: Body) -> bool:
    """Return whether terms may bring more for the same principal than those of the signing."""
    if terms["kind"] != before.get("kind") or terms["kind"] in _PRICED:
        return terms != before
    caps = [each.get("valuation_cap_usd") for each in (terms, before)]
    if caps[0] is not None and (caps[1] is None or Fraction(caps[0]) < Fraction(caps[1])):
        return True
    is_later = (before.get("conversion_timing"), terms.get("conversion_timing")) == ("pre_money", "post_money")
    favoured = bool(terms.get("most_favoured_nation")) > bool(before.get("most_favoured_nation"))
    become = terms.get("at_maturity") != before.get("at_maturity")
    grown = any(Fraction(terms.get(name) or 0) > Fraction(before.get(name) or 0) for name in _USUAL)
    return is_later or favoured or become or grown
