"""Computes who loses by a sale what no vote of others takes from it, so that it agrees itself.

That is principal which is not paid in full in cash; a note's interest, if nothing is left for others; preferred stock
that is ranked behind SAFEs; and rights to preferred stock for less than its preference, which get less than the
difference, because a sale pays rights as common stock.
"""

from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from typing import Any

from marketplace.auditor.equity import Issuer
from marketplace.auditor.prices import Company

Body = Mapping[str, Any]


def list_losers(sale: Body, issuer: Issuer, company: Company, live: Collection[str]) -> Iterator[str]:
    """Yield the holders that lose by a sale.

    Args:
        sale: Its declaration.
        issuer: The cap table before it.
        company: The classes.
        live: The warrants that can still be exercised.
    """
    waterfall = sale["waterfall"]
    yield from _list_unpaid(waterfall)
    rank = waterfall.get("safe_seniority")
    paid: dict[tuple[str, str], Fraction] = {}
    for each in waterfall["payouts"]:
        key = each["holder_id"], each["security"]
        paid[key] = paid.get(key, Fraction(0)) + Fraction(each["amount_usd"])
    for (kind, holder_id, security), shares in issuer.holdings.items():
        known = company.classes.get(company.warrant_classes.get(security, security))
        if not shares or known is None or known.kind != "preferred":
            continue
        if kind == "stock" and rank is not None and known.seniority < rank:
            yield holder_id
        elif kind == "warrant" and security in live:
            rights = issuer.warrants[security].list_counted(Fraction(waterfall["proceeds_usd"]))
            gained = sum((count * max(known.preference - price, Fraction(0)) for count, price in rights), Fraction(0))
            if gained > paid.get((holder_id, security), 0):
                yield holder_id


def _list_unpaid(waterfall: Body) -> Iterator[str]:
    """Yield whose principal is not paid in full in cash, and who has notes, if nothing is left for others."""
    left: dict[str, Fraction] = {}
    for each in waterfall.get("instruments", ()):
        name = each["instrument_id"]
        left[name] = left.get(name, Fraction(0)) + Fraction(each["principal_usd"])
    for each in waterfall["payouts"]:
        if each["security"] in left:
            left[each["security"]] -= Fraction(each["cash_usd"])
    notes = {each["instrument_id"] for each in waterfall.get("instruments", ()) if each["terms"]["kind"] == "note"}
    is_left = any(Fraction(each["amount_usd"]) for each in waterfall["payouts"] if each["security"] not in notes)
    for each in waterfall.get("instruments", ()):
        if left[each["instrument_id"]] > 0 or (each["instrument_id"] in notes and not is_left):
            yield each["holder_id"]
