"""Checks votes: every group of holders agreed, and in it by themselves those who are unrelated, and disinterested.

The groups are counted again when an act takes effect: from the stock, rights and principal of each registered party,
and from the relations that are firm then. Unrelated are those without a relation to the company. Disinterested are
those of them who do not gain by the act.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from math import ceil
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from marketplace.auditor.consents import Consents
from marketplace.auditor.equity import Equity, Issuer
from marketplace.auditor.gains import Gains
from marketplace.auditor.held import Held, find_known, weigh_rights
from marketplace.auditor.losers import list_losers
from marketplace.auditor.prices import Company, find_strike
from marketplace.auditor.relations import Relations
from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message, is_of_parties
from marketplace.auditor.vesting import Option, fold_option
from marketplace.auditor.warrants import build_warrant

_VOTED: Final = frozenset(
    {
        "instrument.amended",
        "issuer.financing_closed",
        "issuer.price_source_named",
    }
)
"""Acts on which every group votes, however they are done."""
_UNCAUSED: Final = frozenset({"issuer.stock_issued", "issuer.warrant_issued"})
"""Acts on which every group votes unless they follow from another one."""
_TOGETHER: Final = "holders"
"""All who hold stock, of whom a share binds the rest to a sale."""
_HERE: Final = "holders here"
"""Those of them who vote, and are neither related to a side of the sale nor gain by it."""
_DIRECTORS: Final = "directors"
_DEPTHS: Final = ("own", "summary", "full")
_DAYS: Final = 10
"""How long holders with a pro rata right may answer, if the holder terms do not say."""
_BOUGHT_MIN: Final = 100
"""With fewer shares than this, rounding down takes more than a hundredth of an instrument."""
_SHRUNK_MAX: Final = Fraction(999, 1_000)
_ABSENT: Final = ""
_ENDS: Final = frozenset({"lapsed", "cancelled", "repaid"})
Body = Mapping[str, Any]


@dataclass(slots=True)
class Paper:
    """An instrument, in dollars: what may accrue in all, what accrued, and how much of that became shares or money."""

    issuer_id: str
    holder_id: str
    commitment: Decimal
    principal: Decimal = Decimal(0)
    settled: Decimal = Decimal(0)
    is_open: bool = True

    def take(self, name: str, body: Body) -> None:
        """Fold one event."""
        amount = Decimal(body.get("principal_usd", "0"))
        if name == "principal_accrued":
            self.principal += amount
        elif name == "transferred":
            self.holder_id = body["holder_id_after"]
        elif name == "principal_reversed":
            self.principal -= amount
            self.settled -= amount if body.get("became") in {"shares", "money"} else 0
        elif name in {"converted", "repaid"}:
            self.settled += amount
        elif name == "commitment_reduced":
            self.commitment -= Decimal(body["amount_usd"])
        self.is_open = self.is_open and name not in _ENDS


@dataclass(slots=True)
class Right:
    """A warrant: its holder, its last instant, its programme, and whether a source states the value of its share.

    `issued` states its terms, for shares as they were after the company's splits by `split_ratio`.
    """

    holder_id: str
    expires_at: datetime
    programme_id: str | None
    is_sourced: bool
    issued: Body
    split_ratio: Fraction

    def find_price(self, company: Company) -> Fraction:
        """Return the least USD for which it buys a common share now."""
        price = find_strike(self.issued) * self.split_ratio / company.split_ratio
        return price / company.find_ratio("stock", self.issued["class_id"])


class Asked(NamedTuple):
    """The groups of an issuer that vote on an event, the share that must agree, and who gains by it.

    Without a share it is more than half. If who gains has no key here, `leading` has whoever has most of each group.
    """

    issuer_id: str
    groups: Mapping[str, Mapping[str, int]]
    share: str | None = None
    gaining: Collection[str] = frozenset()
    leading: Mapping[str, Collection[str]] = MappingProxyType({})


@dataclass(slots=True)
class Votes:
    """Counts the votes on each act of a company. It takes a decision after `consents`, and before the cap tables.

    Attributes:
        consents: The proposals and the parties.
        relations: Who is related to whom.
        papers: Instruments by id.
        rights: Warrants by id.
        options: Options by id.
        terms: The holder terms of each issuer.
        limits: The dilution limit of each issuer, and its valuation.
        limited: The parties that held something of each issuer when its limit was agreed on.
        bound: The same for its holder terms.
        gains: Who gains by an act.
    """

    findings: Findings
    consents: Consents
    relations: Relations
    papers: dict[str, Paper] = field(default_factory=dict)
    rights: dict[str, Right] = field(default_factory=dict)
    options: dict[str, Option] = field(default_factory=dict)
    terms: dict[str, Body] = field(default_factory=dict)
    limits: dict[str, Body] = field(default_factory=dict)
    limited: dict[str, set[str]] = field(default_factory=dict)
    bound: dict[str, set[str]] = field(default_factory=dict)
    gains: Gains = field(init=False)

    def __post_init__(self) -> None:
        """Compute who gains from the same cap tables and relations."""
        self.gains = Gains(self.consents, self.relations)

    @property
    def equity(self) -> Equity:
        """Return the cap tables."""
        return self.consents.equity

    def take(self, decision: Sequence[Message]) -> None:
        """Check the act of one command, and fold it."""
        if is_of_parties(decision):
            self._check(decision)
        for message in decision:
            aggregate, _, name = message.event_type.removesuffix(".v1").partition(".")
            if aggregate == "instrument":
                self._take_instrument(name, message.read())
            elif aggregate == "issuer":
                self._take_issuer(name, message.read())

    def _take_instrument(self, name: str, body: Body) -> None:
        if name == "issued":
            paper = Paper(body["issuer_id"], body["holder_id"], Decimal(body["commitment_usd"]))
            self.papers[body["instrument_id"]] = paper
        elif body["instrument_id"] in self.papers:
            self.papers[body["instrument_id"]].take(name, body)

    def _take_issuer(self, name: str, body: Body) -> None:
        self.gains.take(name, body)
        fold_option(self.options, name, body)
        if name == "warrant_issued":
            until, is_sourced = parse_instant(body["expires_at"]), body.get("fair_value") is not None
            split_ratio = self.gains.find_company(body["issuer_id"]).split_ratio
            right = Right(body["holder_id"], until, body.get("programme_id"), is_sourced, body, split_ratio)
            self.rights[body["warrant_id"]] = right
        elif name == "warrant_transferred" and body["warrant_id"] in self.rights:
            self.rights[body["warrant_id"]].holder_id = body["holder_id_after"]
        elif name == "holder_terms_agreed":
            self.terms[body["issuer_id"]] = body["terms"]
            self.bound[body["issuer_id"]] = self.find_holding(body["issuer_id"])
        elif name == "dilution_limited":
            self.limits[body["issuer_id"]] = body
            self.limited[body["issuer_id"]] = self.find_holding(body["issuer_id"])

    def _check(self, decision: Sequence[Message]) -> None:
        """Check that each group that an act asks agreed by its majority, and its parts by theirs."""
        bodies = [(message.event_type.removesuffix(".v1"), message.read()) for message in decision]
        agreed, sequence = self.list_agreed(decision, bodies), decision[-1].sequence
        now = parse_instant(decision[0].headers["ce-time"])
        for name, body in bodies:
            if name == "issuer.financing_closed":
                silent = self._list_bound(body, bodies, now) - agreed
                text = f"{name} of {body['issuer_id']}: {', '.join(sorted(silent))} did not agree"
                self.findings.require(not silent, "vote", sequence, text)
            silent = self._list_entitled(name, body, [each for each, _ in bodies], now) - agreed
            silent |= self._list_protected(name, body, [each for each, _ in bodies]) - agreed
            silent |= (self._list_shrunk(name, body, bodies) | self._list_appointed(name, body)) - agreed
            silent |= self._list_losing(name, body, now) - agreed
            text = f"{name} of {body.get('issuer_id')}: {', '.join(sorted(silent))} did not agree itself"
            self.findings.require(not silent, "vote", sequence, text)
            for asked in self._list_asked(name, body, bodies, now):
                related = self._list_related(asked.issuer_id, bodies, now)
                for label, voters in _list_parts(asked, related):
                    whole = sum(voters.values())
                    given = sum(weight for party_id, weight in voters.items() if party_id in agreed)
                    share = None if label == _HERE else asked.share
                    enough = 2 * given > whole if share is None else given >= whole * Fraction(share)
                    enough = enough or self._was_decided_with(label, voters, bodies)
                    text = f"{name} of {asked.issuer_id}: {given} of {whole} {label} agreed"
                    self.findings.require(enough or not whole, "vote", sequence, text)

    def _list_bound(self, body: Body, beside: Sequence[tuple[str, Body]], now: datetime) -> set[str]:
        """Return the parties without whose own agreement no round closes.

        These are its investors; who loses preferred stock to a duty above its part; and the holders of what converts,
        if parties here that are not related to the company buy next to nothing, or the preference is below the money.
        """
        issuer = self.equity.issuers.get(body["issuer_id"], Issuer())
        closing, pricing = self.gains.find_round(body, beside)
        voting = {each for each in self.consents.parties if self._votes(each, issuer)}
        expired = {each for each, right in self.rights.items() if now > right.expires_at}
        bound = {each["holder_id"] for each in closing.opened["terms"]["investments"]}
        bound |= self.gains.list_overcharged(body, beside, voting, expired)
        strangers = voting - self._list_related(body["issuer_id"], beside, now)
        bought = sum(each["shares"] for each in pricing["allotments"] if each["holder_id"] in strangers)
        is_less = Fraction(closing.opened["terms"].get("liquidation_multiple", 1)) < 1
        if is_less or not self.gains.find_company(body["issuer_id"]).is_bought(pricing, bought):
            bound |= {each["holder_id"] for each in pricing["conversions"]}
        return bound & voting

    def _list_losing(self, name: str, body: Body, now: datetime) -> set[str]:
        """Return the parties from which a sale takes what no vote of others takes."""
        if name != "issuer.liquidity_declared":
            return set()
        issuer, company = (
            self.equity.issuers.get(body["issuer_id"], Issuer()),
            self.gains.find_company(body["issuer_id"]),
        )
        live = {each for each, right in self.rights.items() if now <= right.expires_at}
        return {each for each in list_losers(body, issuer, company, live) if self._votes(each, issuer)}

    def _list_entitled(self, name: str, body: Body, beside: Collection[str], now: datetime) -> set[str]:
        """Return the parties without whose own agreement an act passes over their pro rata right, or takes it away."""
        issuer_id = body.get("issuer_id") or ""
        entitled, before = self._find_named(issuer_id), self.terms.get(issuer_id, {})
        match name:
            case "issuer.stock_issued" | "issuer.warrant_issued":
                is_asked = body.get("cause") is None
            case "issuer.option_granted" | "issuer.option_promised":
                own = self.equity.issuers.get(issuer_id, Issuer())
                is_asked = self._votes(body["holder_id"], own) and not self.gains.is_fair_option(name, body, now)
            case "issuer.instrument_signed":
                is_asked = "instrument.principal_accrued" in beside and body["terms"]["kind"] in {"stock", "warrant"}
            case "issuer.holder_terms_agreed":
                days = [each.get("pro_rata_days", _DAYS) for each in (before, body["terms"])]
                kept = set() if days[1] < days[0] else self.list_entitled(issuer_id, body["terms"])
                unnamed = entitled - set(body["terms"].get("pro_rata", ()))
                waived = {*body["terms"].get("pro_rata_waived", ())} - {*before.get("pro_rata_waived", ())}
                waived = {each for each in waived if self._votes(each, self.equity.issuers.get(issuer_id, Issuer()))}
                return (
                    (self.list_entitled(issuer_id) - kept) | unnamed | waived | self._list_shown_less(issuer_id, body)
                )
            case "issuer.liquidity_declared":
                stock = body["waterfall"].get("stock") or {}
                return self._find_named(stock.get("buyer_issuer_id") or "")
            case _:
                is_asked = False
        return entitled if is_asked else set()

    def _list_protected(self, name: str, body: Body, beside: Collection[str]) -> set[str]:
        """Return the parties whose stock is protected against the price of what is sold without a round."""
        issuer_id, terms = body.get("issuer_id") or "", body
        match name:
            case "issuer.stock_issued" | "issuer.warrant_issued":
                is_sold = body.get("cause") is None
            case "issuer.instrument_signed":
                terms = body["terms"]
                is_sold = "instrument.principal_accrued" in beside and terms["kind"] in {"stock", "warrant"}
            case "issuer.liquidity_declared":
                terms = body["waterfall"].get("stock") or {}
                issuer_id = terms.get("buyer_issuer_id") or ""
                is_sold = bool(issuer_id)
            case _:
                is_sold = False
        issuer, company = self.equity.issuers.get(issuer_id, Issuer()), self.gains.find_company(issuer_id)
        if not is_sold or not any(each.protection for each in company.classes.values()):
            return set()
        price = find_strike(terms) if "exercise_price_usd" in terms else Fraction(0)
        price += Fraction(terms.get("price_usd_per_share", 0))
        held = company.list_protected(issuer.holdings, terms["class_id"], price)
        return {each for each in held if self._votes(each, issuer)}

    def _list_shown_less(self, issuer_id: str, agreed: Body) -> set[str]:
        """Return the parties that would see less of an issuer by other holder terms than now."""
        issuer, before = self.equity.issuers.get(issuer_id, Issuer()), self.terms.get(issuer_id, {})
        found = set()
        for party_id in self.find_holding(issuer_id):
            rows = issuer.holdings.items()
            classes = [
                name for (kind, holder, name), shares in rows if shares and (kind, holder) == ("stock", party_id)
            ]
            now = _find_depth(before, classes)
            if party_id not in self.bound.get(issuer_id, set()):
                now = max(now, _find_depth({}, classes))
            if _find_depth(agreed["terms"], classes) < now:
                found.add(party_id)
        return found

    def _find_named(self, issuer_id: str, terms: Body | None = None) -> set[str]:
        """Return the parties that holder terms give a pro rata right, and that hold something of an issuer."""
        agreed = self.terms.get(issuer_id, {}) if terms is None else terms
        return self.find_holding(issuer_id) & {*agreed.get("pro_rata", ())}

    def find_holding(self, issuer_id: str) -> set[str]:
        """Return the parties that hold something of an issuer."""
        issuer = self.equity.issuers.get(issuer_id, Issuer())
        holding = {holder_id for (_, holder_id, _), shares in issuer.holdings.items() if shares}
        holding |= {*self.gains.find_company(issuer_id).signed.values()}
        return {each for each in holding if self._votes(each, issuer)}

    def list_undercut(self, name: str, body: Body, now: datetime) -> set[str]:
        """Return the parties with rights that an issue of stock or of a warrant without a round is cheaper than.

        Of options, only what has vested and costs less than the best known price of a share.
        """
        issuer_id = body["issuer_id"]
        if name not in {"issuer.stock_issued", "issuer.warrant_issued"}:
            return set()
        issuer, company = self.equity.issuers.get(issuer_id, Issuer()), self.gains.find_company(issuer_id)
        price = find_strike(body) if name.endswith("warrant_issued") else Fraction(body["price_usd_per_share"])
        common = price / company.find_ratio("stock", body["class_id"])
        held = [
            right
            for warrant_id, right in self.rights.items()
            if issuer.holdings.get(("warrant", right.holder_id, warrant_id)) and self._votes(right.holder_id, issuer)
        ]
        related = self.gains.connect({issuer.company_id}, now)
        known = find_known(company, issuer.holdings, related, now)
        today, found = now.date(), {each.holder_id for each in held if each.find_price(company) > common}
        for (kind, holder_id, security), shares in issuer.holdings.items():
            if kind == "option" and shares and common < company.options.get(security, Fraction(0)) < known:
                vested = self.options[security].count_vested(shares, today, today)
                found |= {holder_id} if vested and self._votes(holder_id, issuer) else set()
        return found

    def list_entitled(self, issuer_id: str, terms: Body | None = None) -> set[str]:
        """Return the parties with a pro rata right: those named, and investors that did not waive it.

        `terms` stand in place of the holder terms in force.
        """
        issuer = self.equity.issuers.get(issuer_id, Issuer())
        agreed = self.terms.get(issuer_id, {}) if terms is None else terms
        investors = self.gains.find_company(issuer_id).list_investors(issuer.holdings)
        investors -= set(agreed.get("pro_rata_waived", ()))
        return self._find_named(issuer_id, agreed) | {each for each in investors if self._votes(each, issuer)}

    def _list_appointed(self, name: str, body: Body) -> set[str]:
        """Return the parties to which an act gives a part that they did not have: directors, and attesters."""
        issuer_id, appointed = body.get("issuer_id") or "", set[str | None]()
        if name == "issuer.holder_terms_agreed":
            before = self.terms.get(issuer_id, {})
            appointed = {*body["terms"].get("directors", ())} - {*before.get("directors", ())}
        elif name == "issuer.warrant_issued":
            appointed = {*build_warrant(body).attesters.values()}
        issuer = self.equity.issuers.get(issuer_id, Issuer())
        return {each for each in appointed if each is not None and self._votes(each, issuer)}

    def _list_coarsened(self, split: Body, issuer: Issuer) -> set[str]:
        company, ratio = self.gains.find_company(split["issuer_id"]), Fraction(split["numerator"], split["denominator"])
        whole = sum(company.measure(issuer.holdings).values(), Fraction(0))
        claims = company.list_claims(Fraction(0), whole) if ratio < 1 else ()
        return {holder_id for holder_id, part in claims if 0 < part * whole * ratio < _BOUGHT_MIN}

    def _list_shrunk(self, name: str, body: Body, beside: Sequence[tuple[str, Body]]) -> set[str]:
        """Return the parties whose part of a class a split makes smaller by a thousandth, as others are rounded up.

        After a consolidation by anything; if few shares are left, all who hold something. Also who has an instrument
        that buys fewer than a hundred shares then.
        """
        issuer = self.equity.issuers.get(body.get("issuer_id") or "", Issuer())
        if name != "issuer.stock_split":
            return set()
        filled: dict[tuple[str, str], int] = {}
        for other, each in beside:
            if other == "issuer.stock_issued" and each.get("cause") == body["split_id"]:
                filled[each["holder_id"], each["class_id"]] = each["shares"]
        shrunk = set()
        for (kind, holder_id, class_id), shares in issuer.holdings.items():
            rows = {row: count for row, count in issuer.holdings.items() if row[::2] == ("stock", class_id)}
            whole, grown = sum(rows.values()), sum(more for key, more in filled.items() if key[1] == class_id)
            part = Fraction(shares + filled.get((holder_id, class_id), 0), max(whole + grown, 1))
            before = Fraction(shares, max(whole, 1))
            is_less = part < before if issuer.is_consolidated else part <= before * _SHRUNK_MAX
            if kind == "stock" and shares and is_less:
                shrunk.add(holder_id)
        shrunk |= issuer.list_coarsened(body) | self._list_coarsened(body, issuer)
        return {each for each in shrunk if self._votes(each, issuer)}

    def _was_decided_with(self, label: str, voters: Collection[str], bodies: Sequence[tuple[str, Body]]) -> bool:
        """Return whether a group of warrants arose since its proposal, out of the other group, which was asked."""
        carried = next((body for name, body in bodies if name == "proposal.carried_out"), None)
        proposal = None if carried is None else self.consents.proposals.get(carried["proposal_id"])
        if proposal is None or not label.endswith("warrants") or "stock" in label:
            return False
        name, asked = label.replace(" ", "_"), proposal.made["consents"]
        other = name.replace("unvested_", "") if "unvested_" in name else name.replace("warrants", "unvested_warrants")
        known = {each["electorate"]: {voter["party_id"] for voter in each["voters"]} for each in asked}
        return name not in known and set(voters) <= known.get(other, set())

    def list_agreed(self, decision: Sequence[Message], bodies: Sequence[tuple[str, Body]]) -> set[str]:
        """Return who agreed to an act: the voters of its proposal, or who did it; and holders by their mandates."""
        agreed = {decision[0].headers["ce-actor"]}
        carried = next((body for name, body in bodies if name == "proposal.carried_out"), None)
        if carried is not None:
            proposal = self.consents.proposals.get(carried["proposal_id"])
            agreed = set() if proposal is None else proposal.agreed | {proposal.made["proposer_id"]}
        asked = {
            body["mandate_id"] for name, body in bodies if name == "mandate.budget_held" and body["needs_approval"]
        }
        issued = [body for name, body in bodies if name == "instrument.issued" and body.get("mandate_id")]
        return agreed | {body["holder_id"] for body in issued if body["mandate_id"] not in asked}

    def _list_asked(self, name: str, body: Body, bodies: Sequence[tuple[str, Body]], now: datetime) -> Iterator[Asked]:
        """Yield each issuer whose groups vote on an event."""
        issuer_id = body.get("issuer_id") or ""
        if name == "instrument.amended" and body["instrument_id"] in self.papers:
            issuer_id = self.papers[body["instrument_id"]].issuer_id
        issuer, terms = self.equity.issuers.get(issuer_id), self.terms.get(issuer_id, {})
        if issuer is None:
            return
        if terms.get("directors") and self._is_directed(name, issuer_id, now):
            yield Asked(issuer_id, {_DIRECTORS: dict.fromkeys(terms["directors"], 1)})
        if name == "issuer.liquidity_declared":
            yield from self._list_sellers(body, issuer, bodies, now)
            buyer_id = (body["waterfall"].get("stock") or {}).get("buyer_issuer_id")
            if buyer_id is not None:
                gaining = self.gains.list_gaining(name, body, buyer_id, bodies, now)
                yield Asked(buyer_id, self._list_groups(buyer_id, now), None, gaining)
        elif name == "issuer.holder_terms_agreed":
            yield Asked(issuer_id, self._list_groups(issuer_id, now), terms.get("sale_share_needed"))
        elif self._is_voted(name, body, issuer, [each for each, _ in bodies], now):
            groups, gaining = self._list_groups(issuer_id, now), self._list_gaining(name, body, issuer_id, bodies, now)
            is_hidden = any(not self._votes(each, issuer) for each in gaining)
            leading = {group: self._list_leading(weights, now) for group, weights in groups.items() if is_hidden}
            yield Asked(issuer_id, groups, None, self.gains.connect(gaining, now), leading)

    def _is_directed(self, name: str, issuer_id: str, now: datetime) -> bool:
        """Return whether directors agree: to a sale if a holder agreed to them, to terms if these may still decide."""
        holding, bound = self.find_holding(issuer_id), self.bound.get(issuer_id, set())
        if name == "issuer.liquidity_declared":
            return bool(holding & bound) or not holding
        groups = self._list_groups(issuer_id, now).values()
        decides = all(2 * sum(row.get(each, 0) for each in bound) > sum(row.values()) for row in groups)
        return name == "issuer.holder_terms_agreed" and decides

    def _list_sellers(
        self, sale: Body, issuer: Issuer, bodies: Sequence[tuple[str, Body]], now: datetime
    ) -> Iterator[Asked]:
        """Yield the holders of a company that is sold: each group, or all together if a drag-along binds the rest."""
        issuer_id = sale["issuer_id"]
        terms, groups = self.terms.get(issuer_id, {}), self._list_groups(issuer_id, now)
        gaining = self.gains.list_gaining("issuer.liquidity_declared", sale, issuer_id, bodies, now)
        drag = terms.get("drag_along") or {}
        together = self._weigh_together(issuer_id, issuer, sale, drag["share_needed"]) if drag else {}
        if together:
            own = {"instruments", "commitments", *(f"stock {each}" for each in drag.get("classes", ()))}
            groups = {
                group: weights
                for group, weights in groups.items()
                if group in own or not self._is_dragged(weights, issuer_id)
            }
            yield Asked(issuer_id, {_TOGETHER: together}, drag["share_needed"], gaining)
        yield Asked(issuer_id, groups, terms.get("sale_share_needed"), gaining)

    def _is_dragged(self, weights: Mapping[str, int], issuer_id: str) -> bool:
        """Return whether those who held something when a drag-along was agreed on may decide for a group."""
        share, bound = self.terms[issuer_id].get("sale_share_needed"), self.bound.get(issuer_id, set())
        given, whole = sum(weight for each, weight in weights.items() if each in bound), sum(weights.values())
        return 2 * given > whole if share is None else given >= whole * Fraction(share)

    def _list_gaining(
        self, name: str, body: Body, issuer_id: str, bodies: Sequence[tuple[str, Body]], now: datetime
    ) -> set[str]:
        """Return who itself gains by an event on which the groups of an issuer vote."""
        match name:
            case "instrument.amended" if body["instrument_id"] in self.papers:
                electing = self.gains.list_electing(issuer_id, bodies).values()
                return {self.papers[body["instrument_id"]].holder_id, *(holder_id for holder_id, _ in electing)}
            case "issuer.purchases_stated" | "issuer.programme_grant_added":
                return self.list_counting(body, now)
            case _:
                return self.gains.list_direct(name, body, issuer_id, bodies, now)

    def _list_leading(self, weights: Mapping[str, int], now: datetime) -> set[str]:
        """Return who has more than half of a group, with all whom firm relations connect with it."""
        for party_id in weights:
            related = self.gains.connect({party_id}, now)
            if 2 * sum(weights.get(each, 0) for each in related) > sum(weights.values()):
                return related
        return set()

    def _is_voted(self, name: str, body: Body, issuer: Issuer, beside: Sequence[str], now: datetime) -> bool:
        """Return whether every group votes on an event, by more than half of each."""
        if self.gains.is_redeemed(name, body):
            return True
        match name:
            case "issuer.instrument_signed":
                return "instrument.principal_accrued" in beside
            case "issuer.liquidity_withdrawn":
                return bool(body["cause"] != "overdue")
            case "issuer.dilution_limited":
                return self._is_lifted(body)
            case "issuer.purchases_stated" | "issuer.programme_grant_added":
                return body.get("delivered_before", True) and bool(self.list_counting(body, now))
            case "issuer.stock_repurchased":
                is_taken = body.get("cause") in self.gains.find_company(body["issuer_id"]).offers
                own = body.get("cause") is None or is_taken
                return own and (not self._votes(body["holder_id"], issuer) or self.gains.is_dear(name, body, now))
            case "issuer.warrant_exercised":
                return self.is_at_own_value(body, now)
            case _ if name in _VOTED:
                return True
            case _:
                return body.get("cause") is None and self._is_voted_alone(name, body, issuer, beside, now)

    def is_at_own_value(self, exercised: Body, now: datetime) -> bool:
        """Return whether a net exercise counts with a value that only its holder or the company made.

        So does a mean of recorded prices of more than four times the highest independent price.
        """
        right = self.rights.get(exercised["warrant_id"])
        if right is None or exercised.get("fair_value_usd") is None:
            return False
        highest = self.find_independent(exercised, now)
        if right.is_sourced:
            return highest is not None and Fraction(exercised["fair_value_usd"]) > highest * 4
        return highest is None

    def find_independent(self, body: Body, now: datetime) -> Fraction | None:
        """Return the highest price of a share, in USD, that neither the company nor side of a warrant made; or None."""
        first, named = self.relations.warrants[body["warrant_id"]]
        holder_id = self.rights[body["warrant_id"]].holder_id
        return self.gains.find_independent(body["issuer_id"], {holder_id, first, *named}, now)

    def _is_voted_alone(self, name: str, body: Body, issuer: Issuer, beside: Sequence[str], now: datetime) -> bool:
        """Return whether every group votes on an event on stock or options that follows from no other one."""
        match name:
            case "issuer.stock_class_created":
                return body["kind"] == "preferred" and "issuer.financing_closed" not in beside
            case "issuer.stock_plan_adjusted":
                return bool(body["shares_reserved"] > issuer.reserved)
            case "issuer.authorised_shares_adjusted":
                return bool(body["shares_authorised"] < issuer.authorised.get(body["class_id"], 0))
            case "issuer.stock_split":
                return bool(body["numerator"] < body["denominator"])
            case (
                "issuer.stock_transferred"
                | "issuer.warrant_transferred"
                | "issuer.option_transferred"
                | ("instrument.transferred")
            ):
                joins = self._votes(body["holder_id_after"], issuer) and not self._votes(body["holder_id"], issuer)
                return joins or (name == "issuer.stock_transferred" and self.gains.is_dear(name, body, now))
            case "issuer.stock_converted":
                return not self.gains.is_main(body["class_id_after"], body["issuer_id"])
            case "issuer.option_exercised":
                strays = not self.gains.is_main(body["class_id"], body["issuer_id"])
                return strays and self._votes(body["holder_id"], issuer)
            case "issuer.option_granted" | "issuer.option_promised":
                return self._votes(body["holder_id"], issuer) and not self.gains.is_fair_option(name, body, now)
            case _:
                return name in _UNCAUSED

    def _is_lifted(self, body: Body) -> bool:
        """Return whether a dilution limit is the first one, higher, has another valuation, or joins holders to it.

        Or a class that ranks before preferred stock of theirs.
        """
        most, value = (
            [
                None if each.get(key) is None else Decimal(each[key])
                for each in (self.limits.get(body["issuer_id"], {}), body)
            ]
            for key in ("dilution_max", "valuation_usd")
        )
        if most[0] is None or most[1] is None or most[1] > most[0] or value[0] != value[1]:
            return True
        issuer_id, company = body["issuer_id"], self.gains.find_company(body["issuer_id"])
        issuer, holding = self.equity.issuers.get(issuer_id, Issuer()), self.find_holding(issuer_id)
        outranked = {holder for each in company.classes for holder in company.list_outranked(issuer.holdings, each)}
        return bool(holding - self.limited.get(issuer_id, set()) or outranked & holding)

    def list_counting(self, body: Body, now: datetime) -> set[str]:
        """Return the holders of warrants that count purchases of a programme."""
        return {right.holder_id for _, right in self.list_live(body, now)}

    def list_live(self, body: Body, now: datetime) -> list[tuple[str, Right]]:
        """Return the warrants that count purchases of a programme and still buy shares, each with its id."""
        holdings = self.equity.issuers.get(body["issuer_id"], Issuer()).holdings
        return [
            (warrant_id, right)
            for warrant_id, right in self.rights.items()
            if right.programme_id == body["programme_id"]
            and now <= right.expires_at
            and holdings.get(("warrant", right.holder_id, warrant_id))
        ]

    def _list_groups(self, issuer_id: str, now: datetime) -> dict[str, dict[str, int]]:
        """Return the weight of each party in each group of an issuer's holders."""
        groups: dict[str, dict[str, int]] = {}
        issuer = self.equity.issuers.get(issuer_id, Issuer())
        company = self.gains.find_company(issuer_id)
        rights = []
        for (kind, holder_id, security), shares in issuer.holdings.items():
            if kind == "warrant" and security in self.rights and shares:
                right, ratio = self.rights[security], company.find_ratio(kind, security)
                own = issuer.warrants[security].list_rights() if now <= right.expires_at else ()
                names = {True: "warrants", False: "unvested warrants"}
                rights += [Held(names[is_now], right.holder_id, left, price, ratio) for is_now, left, price in own]
            elif kind == "option":
                rights.append(Held("options", holder_id, shares, company.options.get(security, Fraction(0))))
            elif kind == "stock":
                self._weigh(groups, f"stock {security}", holder_id, shares, issuer)
        related = self.gains.connect({issuer.company_id}, now)
        for held, weight in weigh_rights(
            company, issuer.holdings, [each for each in rights if each.shares], related, now
        ):
            self._weigh(groups, held.group, held.holder_id, weight, issuer)
        scale = company.scale_principal(sum(company.measure(issuer.holdings).values(), Fraction(0)))
        for name, paper in self.papers.items():
            if paper.issuer_id == issuer_id:
                drawn = Fraction(paper.principal - paper.settled)
                rest = Fraction(paper.commitment - paper.principal) if paper.is_open else Fraction(0)
                for group, amount in (("instruments", drawn), ("commitments", rest)):
                    weight = ceil(100 * amount * scale.get(name, 1))
                    self._weigh(groups, group, paper.holder_id, weight, issuer)
        return groups

    def _weigh_together(self, issuer_id: str, issuer: Issuer, sale: Body, share: str) -> dict[str, int]:
        """Return the weight of all stockholders as converted, whose majority binds the rest; empty if none can.

        The company votes for those who are not here and agreed as it states; nobody votes for the others (`_ABSENT`).
        """
        stated = {each["holder_id"] for each in sale.get("agreed", ())}
        weights: dict[str, int] = {}
        company = self.gains.find_company(issuer_id)
        for (kind, holder_id, class_id), shares in issuer.holdings.items():
            weight = int(shares * company.find_ratio(kind, class_id)) if kind == "stock" else 0
            if weight > 0 and holder_id != issuer.company_id:
                absent = issuer.company_id if holder_id in stated else _ABSENT
                voter = holder_id if self._votes(holder_id, issuer) else absent
                weights[voter] = weights.get(voter, 0) + weight
        whole = sum(weights.values())
        can = whole - weights.get(_ABSENT, 0) >= whole * Fraction(share)
        return weights if can and weights.keys() - {_ABSENT, issuer.company_id} else {}

    def _weigh(
        self, groups: dict[str, dict[str, int]], group: str, holder_id: str, weight: int, issuer: Issuer
    ) -> None:
        if weight > 0 and self._votes(holder_id, issuer):
            weights = groups.setdefault(group, {})
            weights[holder_id] = weights.get(holder_id, 0) + weight

    def _votes(self, holder_id: str, issuer: Issuer) -> bool:
        """Return whether a holder votes: it is a registered party, and not the company."""
        return holder_id in self.consents.parties and holder_id != issuer.company_id

    def _list_related(self, issuer_id: str, bodies: Sequence[tuple[str, Body]], now: datetime) -> set[str]:
        """Return the company, the buyer in its sale, and all whom firm relations connect with them."""
        sides = {issuer_id}
        for name, body in bodies:
            if name == "issuer.liquidity_declared":
                stock, assumed = body["waterfall"].get("stock") or {}, body.get("assumed") or {}
                sides |= {
                    each for each in (body["issuer_id"], stock.get("buyer_issuer_id"), assumed.get("issuer_id")) if each
                }
        companies = {self.consents.companies.get(each, each) for each in sides}
        return {other for each in companies for other in self.relations.connect(each, now, found=False)}


def _list_parts(asked: Asked, related: Collection[str]) -> Iterator[tuple[str, Mapping[str, int]]]:
    """Yield each group, and those of it who are unrelated, and disinterested, where that is not everybody.

    Where all who hold stock vote together, those who are both agree as one group more.
    """
    for group, weights in asked.groups.items():
        yield group, weights
        if group == _DIRECTORS:
            continue
        unrelated = _leave_out(weights, related)
        disinterested = _leave_out(unrelated, {*asked.gaining, *asked.leading.get(group, ())})
        if group == _TOGETHER:
            yield _HERE, disinterested if len(disinterested) < len(weights) else {}
        else:
            yield f"unrelated {group}", unrelated if len(unrelated) < len(weights) else {}
            yield f"disinterested {group}", disinterested if len(disinterested) < len(unrelated) else {}


def _find_depth(terms: Body, class_ids: Sequence[str]) -> int:
    """Return how much a holder sees by holder terms, as a rank."""
    depth, depths = terms.get("depth", "summary"), terms.get("depths", {})
    return max(_DEPTHS.index(each) for each in (depth, *(depths.get(class_id, depth) for class_id in class_ids)))


def _leave_out(weights: Mapping[str, int], parties: Collection[str]) -> dict[str, int]:
    return {voter: weight for voter, weight in weights.items() if voter not in parties and voter != _ABSENT}
