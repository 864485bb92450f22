"""Answers of the engine to vectors of waterfalls and of price protection."""

from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import Any

from marketplace.equity.checker import verify
from marketplace.equity.exchanges import exchange_ratio, paid_in_stock, split_shares
from marketplace.equity.liquidation import OptionGrant
from marketplace.equity.model import (
    Capitalization,
    Holding,
    Note,
    NoteTerms,
    PreferredClass,
    PriceAdjustment,
    ProtectionBasis,
)
from marketplace.equity.price_protection import adjusted_conversion_price, after_adjustment, price_after_nvca, protect
from marketplace.equity.waterfall import Distribution, distribute
from tests.equity.vector_values import OneOf, Whole, number

Inputs = Mapping[str, Any]
Answers = dict[str, Any]
COMMON = ("common",)
NON_PARTICIPATING = ("np", "non_participating", "none", "preferred")
PARTICIPATING = ("part", "participating", "full", "capped", "participating_capped")
DEBT = ("debt", "note", "loan")
UNISSUED = ("pool", "reserve", "unissued", "unallocated")
FACE_USD = 1
SALE_DAY = date(2025, 1, 1)
FUND_PART_OF_LAST_ROUND = Fraction(1, 3)


def exit_of(classes: list[Inputs], proceeds: Any) -> Distribution:
    holdings: list[Holding] = []
    preferred: list[PreferredClass] = []
    options: list[OptionGrant] = []
    notes: list[Note] = []
    for record in classes:
        name, shares = record["id"], number(record.get("shares", 0))
        kind = _kind(record)
        if any(word in kind for word in UNISSUED) or not (shares or kind in DEBT or number(record.get("pref", 0))):
            continue
        if kind in DEBT:
            owed = number(record.get("claim", record.get("amount", record.get("pref"))))
            notes.append(Note(name, name, owed, NoteTerms(0, "simple", "actual_365", SALE_DAY)))
            continue
        if record.get("strike") is not None:
            options.append(OptionGrant(name, name, shares, number(record["strike"])))
            continue
        holdings.append(Holding(name, name, shares))
        if kind not in COMMON:
            preferred.append(_series(record, shares))
    before = Capitalization(tuple(holdings), tuple(preferred))
    result = distribute(number(proceeds), before, options=options, notes=notes, on_day=SALE_DAY)
    assert verify(result.certificate) == []
    return result


def _kind(record: Inputs) -> str:
    kind = str(record["kind"]).replace("-", "_")
    if kind in (*COMMON, *NON_PARTICIPATING, *PARTICIPATING, *DEBT) or any(word in kind for word in UNISSUED):
        return kind
    raise ValueError(f"the class {record['id']!r} is of the kind {kind!r}, which is not known")


def _series(record: Inputs, shares: Fraction) -> PreferredClass:
    """Read a series by its whole preference, which may be nothing: a face of one dollar, and multiples of it."""
    if not shares:
        raise ValueError(f"the class {record['id']!r} has a preference and no shares that could be paid it")
    ratio = number(record.get("conversion_ratio", record.get("ratio", 1)))
    participates = _kind(record) in PARTICIPATING
    cap = record.get("cap") if participates else None
    return PreferredClass(
        class_id=record["id"],
        issue_price_usd=FACE_USD,
        conversion_price_usd=FACE_USD / ratio,
        liquidation_multiple=number(record.get("pref", 0)) / shares,
        seniority=int(record.get("rank", 1)),
        participation="none" if not participates else "full" if cap is None else "capped",
        participation_cap_multiple=None if cap is None else number(cap) / shares,
    )


def waterfall(inputs: Inputs, rounding: str) -> Answers:
    classes = inputs["classes"]
    result = exit_of(classes, inputs["exit"])
    paid = {record["id"]: result.paid_for(record["id"]) for record in classes}
    answers: Answers = {
        **paid,
        "total_distributed": sum(paid.values(), Fraction(0)),
        "converted": {each.claim_id: each.choice == "convert" for each in result.elections},
        "price_per_share": result.price_per_common_share_usd,
    }
    for name, amount in paid.items():
        for alias in (name, f"series_{name}", "options_issued" if name == "opt" else name):
            answers[f"{alias}.dollars"] = amount
    for each in result.elections:
        election = "convert" if each.choice == "convert" else "preference"
        answers[f"{each.claim_id}.election"] = answers[f"series_{each.claim_id}.election"] = election
    if "buyer_price" in inputs:
        answers |= _pay_in_stock(result, number(inputs["buyer_price"]))
    if "f" in paid:
        answers["our_fund.dollars"] = paid["f"] * FUND_PART_OF_LAST_ROUND
    return answers


def _pay_in_stock(result: Distribution, buyer_price_usd: Fraction) -> Answers:
    """Answer with the exchange ratio, and with the buyer's stock and the cash for fractions, class by class."""
    answers: Answers = {"exchange_ratio": exchange_ratio(result.price_per_common_share_usd, buyer_price_usd)}
    for row in paid_in_stock(result.payouts, buyer_price_usd):
        answers |= {
            f"{row.item_id}.buyer_shares": Whole(row.shares),
            f"{row.item_id}.buyer_shares_exact": row.shares_exact,
            f"{row.item_id}.cash": row.cash_usd,
        }
    return answers


def split(inputs: Inputs, rounding: str) -> Answers:
    """Split or consolidate every holding, with the stated rounding of what is left of a share."""
    company = Capitalization(tuple(Holding(name, name, number(held)) for name, held in inputs["holdings"].items()))
    after = split_shares(company, number(inputs["ratio"]), inputs["fractions"])
    return {holding.holder_id: Whole(int(holding.shares)) for holding in after.holdings}


def _bases(inputs: Inputs, names: list[str]) -> dict[str, str]:
    protected = inputs.get("protected", names)
    if isinstance(protected, Mapping):
        return {name: str(kind) for name, kind in protected.items()}
    words = " ".join(str(inputs.get(key, "")) for key in ("definition", "method", "type"))
    basis = "full_ratchet" if "ratchet" in words else "narrow" if "narrow" in words else "broad"
    return dict.fromkeys(protected, basis)


def _protected_series(name: str, record: Inputs, kind: str | None) -> PreferredClass:
    bases: dict[str, ProtectionBasis] = {"narrow": "outstanding", "broad": "outstanding_and_options"}
    is_ratchet = kind is not None and "ratchet" in kind
    basis = None if kind is None else bases.get(kind.split("_")[0].split("-")[0])
    return PreferredClass(
        class_id=name,
        issue_price_usd=number(record["oip"]),
        conversion_price_usd=number(record["cp"]) if "cp" in record else None,
        price_protection="full_ratchet" if is_ratchet else "weighted_average" if kind else None,
        protection_basis=basis,
    )


def price_protection(inputs: Inputs, rounding: str) -> Answers:
    names = [name for name, record in inputs.items() if isinstance(record, Mapping) and "oip" in record]
    bases = _bases(inputs, names)
    pool = inputs.get("pool", {})
    granted = number(pool.get("granted", 0))
    company = Capitalization(
        holdings=(
            Holding("founders", "common", number(inputs["common"])),
            *(Holding(name, name, number(inputs[name]["shares"])) for name in names),
        ),
        preferred=tuple(_protected_series(name, inputs[name], bases.get(name)) for name in names),
        options_granted=granted,
        options_available=number(pool.get("reserved", 0)) - granted,
    )
    issue = inputs["issue"]
    shares = number(issue["shares"])
    paid = number(issue["consideration"]) if "consideration" in issue else shares * number(issue["price"])
    adjustments = protect(company, shares, paid, exempted=bool(inputs.get("exempted") or inputs.get("exempt")))
    answers: Answers = {"fully_diluted": after_adjustment(company, adjustments).fully_diluted + shares}
    for each in adjustments:
        answers |= _adjustment(each)
    if len(adjustments) == 1:
        answers |= {
            "CP2": adjustments[0].conversion_price_after_usd,
            "CP2_nvca_rounded": price_after_nvca(adjustments[0].conversion_price_after_usd),
            "ratio": _ratio(adjustments[0]),
        }
    elif adjustments:
        last = adjustments[-1]
        answers |= {"CP2": last.conversion_price_after_usd, "ratio": _ratio(last)}
    return answers


def formula(inputs: Inputs, rounding: str) -> Answers:
    """Apply the charter's formula to its own letters: CP1, A, the consideration and C."""
    issue = inputs.get("issue", inputs)
    issued = issue.get("shares", issue.get("C", issue.get("new_shares")))
    before = number(inputs["CP1"])
    paid = _consideration(issue, number(issued), before)
    basis = None if "ratchet" in str(inputs.get("method", inputs.get("type", ""))) else number(inputs["A"])
    after = adjusted_conversion_price(before, number(issued), number(paid), basis)
    return {
        "CP2": after,
        "CP2_nvca_rounded": price_after_nvca(after),
        "ratio": before / after,
        "B": number(paid) / before,
    }


def _consideration(issue: Inputs, issued: Fraction, price_before: Fraction) -> Fraction:
    """Read what was paid: itself, by the price of a new share, or by B, what it would have bought at the old price."""
    if "consideration" in issue:
        return number(issue["consideration"])
    if "price" in issue or "new_price" in issue:
        return issued * number(issue.get("price", issue.get("new_price")))
    return number(issue["B"]) * price_before


def _ratio(adjustment: PriceAdjustment) -> Fraction:
    return adjustment.conversion_price_before_usd / adjustment.conversion_price_after_usd


def _adjustment(each: PriceAdjustment) -> Answers:
    answers: Answers = {}
    for name in {each.class_id, each.class_id.removeprefix("series_")}:
        outcome = "adjusted" if each.triggered else "not triggered"
        answers[name] = outcome
        answers[f"{name}_CP2"] = OneOf((each.conversion_price_after_usd, outcome))
        answers[f"{name}_ratio"] = _ratio(each)
        answers[f"{name}_as_converted"] = each.as_converted_after
    return answers


def protection_at_exit(inputs: Inputs, rounding: str) -> Answers:
    """Pay out a sale twice: with the earlier series protected in the later one's down round, and without."""
    later, earlier = inputs["series_b"], inputs["series_a"]
    protected = _protected_series("series_a", earlier, "broad")
    company = Capitalization(
        holdings=(
            Holding("founders", "common", number(inputs["common"])),
            Holding("a", "series_a", number(earlier["shares"])),
        ),
        preferred=(protected,),
    )
    shares = number(later["shares"])
    adjustment = protect(company, shares, shares * number(later["price"]), exempted=False)[0]

    def paid(ratio: Fraction) -> Answers:
        classes = [
            {"id": "common", "kind": "common", "shares": inputs["common"]},
            {"id": "a", "kind": "np", "shares": earlier["shares"], "pref": earlier["pref"], "rank": 2, "ratio": ratio},
            {"id": "b", "kind": "np", "shares": later["shares"], "pref": later["pref"], "rank": 1},
        ]
        result = exit_of(classes, inputs["exit"])
        return {name: result.paid_for(name) for name in ("common", "a", "b")}

    return {"protected": paid(_ratio(adjustment)), "unprotected": paid(Fraction(1))}
