"""Checks that no mandate pays for an instrument of a company that is worth more than its range of caps.

It is asked as an order is placed, amended or locked, as a quote is held, and as the instrument is signed.

A company is worth all shares and rights at the price of the instrument, what other instruments become in a round at
this price, and the preferences of other classes that rank before its stock or beside it. For an offer, and for what is
paid at once, the shares count too that price protection gives other classes in a round at the mandate's least cap. A
SAFE counts at its cap and the preferences of all classes, a note that stays a debt at its cap.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any, Final

from marketplace.auditor.equity import Issuer
from marketplace.auditor.gains import Gains
from marketplace.auditor.notes import find_growth_of
from marketplace.auditor.offers import Offer, Offers
from marketplace.auditor.prices import Company, StockClass
from marketplace.auditor.stream import Findings, Message

CAP_MAX: Final = Fraction(10**8)
"""The greatest cap of a mandate that states none, in USD."""
Body = Mapping[str, Any]


@dataclass(slots=True)
class Ranges:
    """Folds the ranges of mandates, and checks each instrument that is signed under one. It takes a decision first.

    Attributes:
        gains: The prices and cap tables before the decision.
        terms: The terms of each mandate.
        offers: The offers of orders.
    """

    findings: Findings
    gains: Gains
    terms: dict[str, Body] = field(default_factory=dict)
    offers: Offers = field(default_factory=Offers)

    def take(self, decision: Sequence[Message]) -> None:
        """Check the instruments of one command, and fold its mandates."""
        bodies = [(message.event_type.removesuffix(".v1"), message.read(), message.sequence) for message in decision]
        for message, offer in self.offers.take(decision):
            for mandate_id in sorted(offer.mandate_ids & self.terms.keys()):
                self._check_offer(mandate_id, offer, message.sequence)
        splits = {body["instrument_id"]: body for name, body, _ in bodies if name == "issuer.instrument_signed"}
        for name, body, sequence in bodies:
            if name in {"mandate.granted", "mandate.amended"}:
                self.terms[body["mandate_id"]] = body["terms"]
            elif name == "instrument.issued" and body.get("mandate_id") in self.terms:
                self._check(body, splits.get(body["instrument_id"], {}).get("split_ratio"), sequence)

    def _check(self, body: Body, split: str | None, sequence: int) -> None:
        offer = Offer(body["instrument_id"], body["issuer_id"], body["terms"], set(), split)
        self._check_offer(body["mandate_id"], offer, sequence, alone=body.get("funding") != "paid_at_once")

    def _check_offer(self, mandate_id: str, offer: Offer, sequence: int, *, alone: bool = False) -> None:
        """Check an offer, or an instrument that is signed, against the range of a mandate.

        With `alone` only what is signed counts beside it; otherwise open orders and held quotes do too.
        """
        terms, company = self.terms[mandate_id], self.gains.find_company(offer.issuer_id)
        issuer = self.gains.consents.equity.issuers.get(offer.issuer_id, Issuer())
        split = offer.split_ratio
        since = Fraction(1) if split is None else company.split_ratio / Fraction(split)
        signed = {name: each for name, each in company.exposures.items() if name in company.signed}
        open_too = {name: each for name, each in company.exposures.items() if name != offer.order_id}
        others = signed if alone else open_too
        low, high = (terms.get(f"valuation_cap_usd_{end}") for end in ("min", "max"))
        measure = partial(find_worth, company, issuer.holdings, offer.terms, since)
        now, worth = measure(signed), measure(others, protects=not alone, least=None if low is None else Fraction(low))
        least, most = Fraction(low or 0), CAP_MAX if high is None else Fraction(high)
        shown = "more than any amount" if worth is None else f"{float(worth):.2f}"
        text = f"{mandate_id} pays for {offer.order_id}, at which {offer.issuer_id} is worth {shown} USD"
        cent = Fraction(1, 100)
        is_within = worth is not None and now is not None and least <= now and worth < most + cent
        uncapped = worth == 0 and offer.terms.get("valuation_cap_usd") is None
        self.findings.require(is_within or uncapped, "range", sequence, f"{text}; its caps are {least} to {most}")


def find_worth(
    company: Company,
    holdings: Mapping[tuple[str, str, str], int],
    terms: Body,
    since: Fraction,
    exposures: Mapping[str, Sequence[Body]],
    *,
    protects: bool = False,
    least: Fraction | None = None,
) -> Fraction | None:
    """Return what a company is worth in USD at the terms of an instrument; None if others ask for all of it.

    Of a SAFE that is its cap and all preferences, of a note that stays a debt its cap; 0 without one.

    Args:
        company: Its prices, classes and instruments.
        holdings: Its cap table.
        terms: The terms.
        since: Into how many shares one was split since a price was agreed.
        exposures: What other instruments, or open orders too, may still become.
        protects: Whether the price protection of other classes is used.
        least: The value in USD at which it is, if that is less than its value; None: it is its value.
    """
    shares, become = sum(company.measure(holdings).values(), Fraction(0)), terms.get("at_maturity")
    cap = Fraction(terms.get("valuation_cap_usd") or 0)
    if terms["kind"] in {"stock", "warrant"}:
        class_id = terms["class_id"]
        price = Fraction(terms["price_usd_per_share"]) + Fraction(terms.get("exercise_price_usd") or 0)
        value = price / since / company.find_ratio("stock", class_id) * shares
    elif become and cap:
        class_id, value = become["class_id"], cap
    else:
        is_safe = terms["kind"] == "safe" and cap
        return cap + (_sum_ranked(company, holdings, "", _list_open(exposures), shares) if is_safe else 0)
    if protects:
        grown = _measure_protected(company, holdings, class_id, value if least is None else min(least, value))
        if grown is None:
            return None
        value *= grown / max(shares, Fraction(1))
    beside = _list_open(exposures)
    growth = _find_growth([_list_claims(company, *each, value, shares) for each in beside])
    return None if growth is None else value * growth + _sum_ranked(company, holdings, class_id, beside, shares)


def _list_open(exposures: Mapping[str, Sequence[Body]]) -> list[tuple[str, Body]]:
    return [(name, each) for name, known in exposures.items() for each in known if Fraction(each["amount_usd"])]


def _measure_protected(
    company: Company, holdings: Mapping[tuple[str, str, str], int], class_id: str, worth: Fraction
) -> Fraction | None:
    """Return all shares after a round at `worth` has used the price protection of other classes; None: unbounded.

    Full ratchets take their dollars first, the highest price first. A weighted average counts a round of a quarter of
    the shares.
    """
    shares = sum(company.measure(holdings).values(), Fraction(0))
    counts: dict[str, Fraction] = {}
    for (kind, _, security), count in holdings.items():
        name = company.warrant_classes.get(security, "") if kind == "warrant" else security
        protected = company.classes.get(name) if kind in {"stock", "warrant"} and name != class_id else None
        if protected is not None and protected.protection is not None:
            counts[name] = counts.get(name, Fraction(0)) + count
    known = sorted(((held, company.classes[name]) for name, held in counts.items()), key=_find_conversion_price)
    price, left, others, after = worth / max(shares, Fraction(1)), worth, shares, shares
    for held, each in reversed(known):
        if held and each.protection == "full_ratchet" and each.price / each.ratio > price:
            left, others = left - held * each.price, others - held * each.ratio
            if left <= 0 or others <= 0:
                return None
            price = left / others
    for held, each in known:
        before, lowered = each.price / each.ratio, price
        if each.protection == "weighted_average":
            base = _count_basis(company, holdings, each.basis)
            lowered = (before * base + price * shares / 4) / max(base + shares / 4, Fraction(1))
        if held and price < before:
            after += held * (each.price / lowered - each.ratio)
    return after


def _find_conversion_price(row: tuple[Fraction, StockClass]) -> Fraction:
    return row[1].price / row[1].ratio


def _count_basis(company: Company, holdings: Mapping[tuple[str, str, str], int], basis: str | None) -> Fraction:
    """Return the shares that a weighted average counts before a round: stock, or rights too, or the whole pool."""
    whole = Fraction(0)
    for (kind, _, security), count in holdings.items():
        if kind == "stock":
            whole += count * company.find_ratio(kind, security)
        elif basis == "fully_diluted" or (basis == "outstanding_and_options" and kind in {"option", "warrant"}):
            whole += count
    return whole


def _find_growth(claims: list[list[tuple[Fraction, bool]]]) -> Fraction | None:
    """Return how many times its shares a company has once all converted, each as it gets most; None: all of it."""
    growth = Fraction(1)
    while True:
        chosen = [max(each, key=lambda one: one[0] * (growth if one[1] else 1)) for each in claims]
        within = sum((part for part, is_within in chosen if is_within), Fraction(0))
        if within >= 1:
            return None
        after = (1 + sum((part for part, is_within in chosen if not is_within), Fraction(0))) / (1 - within)
        if after <= growth:
            return growth
        growth = after


def _list_claims(
    company: Company, name: str, exposure: Body, value: Fraction, shares: Fraction
) -> list[tuple[Fraction, bool]]:
    """Return the parts that an instrument may ask for: of what there was, worth `value`, or of the whole after it."""
    terms, principal = exposure["terms"], Fraction(exposure["amount_usd"])
    if terms["kind"] in {"stock", "warrant"}:
        claim = company.find_claim(name, exposure, shares)
        return [] if claim is None else [claim]
    amount, worth = principal * find_growth_of(exposure), max(value, Fraction(1, 100))
    repaid = amount + principal * (Fraction(terms.get("repayment_multiple") or 1) - 1)
    discount = max(Fraction(each.get(key) or 0) for each, key in ((terms, "discount"), (exposure, "offered_discount")))
    claims = [(max(amount / (1 - discount), repaid) / worth, False)]
    is_post = terms.get("conversion_timing") == "post_money"
    cap, offered = terms.get("valuation_cap_usd"), exposure.get("offered_cap_usd")
    if cap is not None:
        claims.append(
            (
                amount
                / Fraction(cap)
                * (1 if is_post else company.find_divisor(name, shares) / max(shares, Fraction(1))),
                is_post,
            )
        )
    if offered is not None:
        claims.append((amount / Fraction(offered), True))
    if (noticed := exposure.get("offered_pre_money_cap_usd")) is not None:
        claims.append((amount / Fraction(noticed), False))
    return claims


def _sum_ranked(
    company: Company,
    holdings: Mapping[tuple[str, str, str], int],
    class_id: str,
    beside: list[tuple[str, Body]],
    shares: Fraction,
) -> Fraction:
    """Return the USD that other classes get before a class or with it, also by warrants and instruments."""
    bought = company.classes.get(class_id)
    rank = bought.seniority if bought is not None and bought.kind == "preferred" else 0
    ranked = {
        name: each.preference for name, each in company.classes.items() if name != class_id and each.seniority >= rank
    }
    whole = Fraction(0)
    for (kind, _, security), count in holdings.items():
        name = company.warrant_classes.get(security, "") if kind == "warrant" else security
        whole += count * ranked.get(name, 0) if kind in {"stock", "warrant"} else 0
    for name, bought_shares in _list_bought(company, beside, shares):
        whole += bought_shares * ranked.get(name, 0)
    return whole


def _list_bought(company: Company, beside: list[tuple[str, Body]], shares: Fraction) -> Iterator[tuple[str, Fraction]]:
    """Yield the shares of a class that instruments may still buy, or become at maturity."""
    for name, exposure in beside:
        terms, amount = exposure["terms"], Fraction(exposure["amount_usd"])
        become, cap = terms.get("at_maturity"), terms.get("valuation_cap_usd")
        if terms["kind"] in {"stock", "warrant"}:
            price = Fraction(terms["price_usd_per_share"]) * company.agreed_splits[name] / company.split_ratio
            yield terms["class_id"], amount / price
        elif become and cap is not None:
            yield (
                become["class_id"],
                amount * find_growth_of(exposure) / Fraction(cap) * company.find_divisor(name, shares),
            )
