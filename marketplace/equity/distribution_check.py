"""A sale's proceeds, paid out again by another method; shares no code with the waterfall.

The price of a common share is raised from zero, and each participating claimant receives in proportion to its shares,
until nothing is left of the residual. Then each class is tested with each of its other choices, all others unchanged.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

Record = Mapping[str, Any]
_CENT = Fraction(1, 100)


def check_distribution(certificate: Record) -> list[str]:
    """Check a distribution's certificate.

    Returns:
        What does not hold, in words with both sides; empty if all holds.
    """
    return list(_problems(certificate))


def _problems(certificate: Record) -> Iterable[str]:
    proceeds = Fraction(certificate["proceeds_usd"])
    claims: list[Record] = certificate["claims"]
    choices = [claim["choice"] for claim in claims]
    paid, price = _pay_out(certificate, choices)
    stated = Fraction(certificate["price_per_common_share_usd"])
    if stated != price:
        yield f"the price of a common share: {stated} is not {price}"
    yield from _payouts(certificate, paid, price)
    yield from _sums(certificate["payouts"], proceeds)
    for index, claim in enumerate(claims):
        yield from _election(certificate, choices, index, claim, paid[index])


def _payouts(certificate: Record, paid: Sequence[Fraction], price: Fraction) -> Iterable[str]:
    owed: list[tuple[str, str, Fraction]] = []
    for claim, amount in zip(certificate["claims"], paid, strict=True):
        whole = sum(Fraction(part["weight"]) for part in claim["parts"])
        owed += [(p["holder_id"], p["item_id"], amount * Fraction(p["weight"]) / whole) for p in claim["parts"]]
    owed += [(p["holder_id"], p["item_id"], Fraction(p["weight"]) * price) for p in certificate["common"]]
    owed += [
        (g["holder_id"], g["grant_id"], max(Fraction(0), price - Fraction(g["strike_usd"])) * Fraction(g["shares"]))
        for g in certificate["options"]
    ]
    rows = [(r["holder_id"], r["item_id"], Fraction(r["amount_usd_exact"])) for r in certificate["payouts"]]
    if sorted(rows) != sorted(owed):
        wrong = sorted(set(rows) ^ set(owed))
        yield f"payouts that are not owed as stated: {', '.join(f'{h} for {i}: {a}' for h, i, a in wrong)}"


def _sums(rows: Sequence[Record], proceeds: Fraction) -> Iterable[str]:
    exact = sum(Fraction(row["amount_usd_exact"]) for row in rows)
    if exact != proceeds:
        yield f"the exact payouts sum to {exact}, not to the proceeds of {proceeds}"
    cents = sum(Fraction(row["amount_usd"]) for row in rows)
    if cents != (proceeds / _CENT).__floor__() * _CENT:
        yield f"the payouts in cents sum to {cents}, not to the proceeds of {proceeds}"
    for row in rows:
        amount, rounded = Fraction(row["amount_usd_exact"]), Fraction(row["amount_usd"])
        if amount < 0 or rounded < 0 or abs(amount - rounded) >= _CENT:
            yield f"{row['holder_id']} is paid {rounded} for {row['item_id']}, but is owed {amount}"


def _election(certificate: Record, choices: Sequence[str], index: int, claim: Record, paid: Fraction) -> Iterable[str]:
    name = claim["claim_id"]
    allowed = {"hold"}
    if claim["kind"] == "preferred" or claim["cap_part"] is not None:
        allowed.add("convert")
    if claim["discounted_usd"] is not None:
        allowed.add("convert_at_discount")
    if set(claim["values_usd"]) != allowed or claim["choice"] not in allowed:
        yield f"{name} may choose among {sorted(allowed)}, but lists {sorted(claim['values_usd'])}"
        return
    for choice in allowed:
        tried = [*choices]
        tried[index] = choice
        value = _pay_out(certificate, tried)[0][index]
        if Fraction(claim["values_usd"][choice]) != value:
            yield f"{name} by {choice} would have {value}, not {claim['values_usd'][choice]}"
        if value > paid:
            yield f"{name} would gain by {choice}: {value} instead of {paid}"


def _pay_out(certificate: Record, choices: Sequence[str]) -> tuple[list[Fraction], Fraction]:
    claims: list[Record] = certificate["claims"]
    left = Fraction(certificate["proceeds_usd"])
    paid = [Fraction(0)] * len(claims)
    for rank in sorted({claim["seniority"] for claim in claims}):
        owed = {
            index: Fraction(claim["hold_usd"])
            for index, claim in enumerate(claims)
            if claim["seniority"] == rank and choices[index] == "hold"
        }
        tier = sum(owed.values())
        for index, amount in owed.items():
            paid[index] = amount if tier <= left else amount * left / tier
        left -= min(left, tier)
    discounted = {
        index: Fraction(claim["discounted_usd"])
        for index, claim in enumerate(claims)
        if choices[index] == "convert_at_discount"
    }
    tier = sum(discounted.values())
    for index, amount in discounted.items():
        paid[index] = amount if tier <= left else amount * left / tier
    left -= min(left, tier)
    return _raise_common_price(certificate, choices, paid, left)


def _raise_common_price(
    certificate: Record, choices: Sequence[str], paid: list[Fraction], left: Fraction
) -> tuple[list[Fraction], Fraction]:
    """Raise the price stepwise: an option joins at its strike, a limited claim leaves when its limit is reached."""
    sharing = Fraction(sum(Fraction(part["weight"]) for part in certificate["common"]))
    events = [(Fraction(grant["strike_usd"]), Fraction(grant["shares"])) for grant in certificate["options"]]
    full_at: dict[int, Fraction | None] = {}
    shares = _shares(certificate, choices)
    for index, claim in enumerate(certificate["claims"]):
        holds = choices[index] == "hold"
        if choices[index] == "convert_at_discount" or (holds and not claim["participates"]) or not shares[index]:
            continue
        sharing += shares[index]
        full_at[index] = None
        if holds and claim["participation_limit_usd"] is not None:
            room = max(Fraction(0), Fraction(claim["participation_limit_usd"]) - paid[index])
            full_at[index] = room / shares[index]
            events.append((room / shares[index], -shares[index]))
    price = Fraction(0)
    for at, change in sorted(events):
        needed = (at - price) * sharing
        if needed > left:
            break
        left -= needed
        if sharing or change > 0:
            price = at if sharing or left else price
        sharing += change
    if left and sharing:
        price += left / sharing
    for index, stop in full_at.items():
        paid[index] += shares[index] * (price if stop is None else min(price, stop))
    return paid, price


def _shares(certificate: Record, choices: Sequence[str]) -> list[Fraction]:
    claims: list[Record] = certificate["claims"]
    base = Fraction(sum(Fraction(part["weight"]) for part in certificate["common"]))
    base += sum(Fraction(grant["shares"]) for grant in certificate["options"])
    stock = base + sum(Fraction(claim["shares"]) for claim in claims)
    counted, inside = base, Fraction(0)
    shares = [Fraction(0)] * len(claims)
    for index, claim in enumerate(claims):
        if claim["kind"] == "preferred":
            shares[index] = Fraction(claim["shares"])
            if choices[index] == "convert" or claim["participates"]:
                counted += shares[index]
        elif choices[index] == "convert" and not claim["counts_conversions"]:
            shares[index] = Fraction(claim["cap_part"]) * stock
            counted += shares[index]
        elif choices[index] == "convert":
            inside += Fraction(claim["cap_part"])
    for index, claim in enumerate(claims):
        if choices[index] == "convert" and claim["counts_conversions"]:
            shares[index] = Fraction(claim["cap_part"]) * counted / (1 - inside)
    return shares
