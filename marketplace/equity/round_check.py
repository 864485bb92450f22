"""The equations of a priced round, checked on its results alone; shares no code with the solver."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

Record = Mapping[str, Any]
_MODES = {"floor": "floor", "nearest": "half_up", "ceiling": "ceiling"}
_ROUNDINGS = ("floor", "ceiling", "half_up", "half_even")
_KNOWN: Mapping[str, tuple[str | None, ...]] = {
    "pricing_convention": ("percent_ownership", "dollars_invested", "pre_money_method"),
    "pool_timing": ("pre_money", "post_money", None),
    "price_rounding": _ROUNDINGS,
    "new_money_share_rounding": (*_ROUNDINGS, None),
    "share_rounding": (*_MODES, "floor_after_price", "nearest_after_price", "floor_fixed_point"),
}


def check_round(certificate: Record) -> list[str]:
    """Check a priced round's certificate.

    Returns:
        Each equation that does not hold, in words with both sides; empty if all hold.
    """
    return list(_Round(certificate).problems())


class _Round:
    def __init__(self, certificate: Record) -> None:
        self.company: Record = {key: Fraction(value) for key, value in certificate["company"].items()}
        self.terms: Record = certificate["terms"]
        self.instruments: list[Record] = certificate["instruments"]
        self.protections: list[Record] = certificate["protections"]
        self.result: Record = certificate["result"]
        self.price = Fraction(self.result["price_usd"])
        self.increase = Fraction(self.result["pool_increase_exact"])
        self.total = Fraction(self.result["fully_diluted_exact"])
        self.existing = sum(self.company.values(), Fraction(0))
        self.converting = sum((Fraction(each["shares_exact"]) for each in self.instruments), Fraction(0))
        self.adjusted = sum((Fraction(each["extra_shares_exact"]) for each in self.protections), Fraction(0))
        self.new_money = sum((Fraction(each["amount_usd"]) for each in self.result["new_money"]), Fraction(0))

    def problems(self) -> Iterable[str]:
        for name, known in _KNOWN.items():
            if self.terms[name] not in known:
                yield f"{name} is {self.terms[name]!r}, which this checker does not know"
                return
        if self.price <= 0:
            yield f"the price {self.price} is not above zero"
            return
        yield from self._total()
        yield from self._price()
        yield from self._pool()
        for instrument in self.instruments:
            yield from self._instrument(instrument)
        for protection in self.protections:
            yield from self._protection(protection)
        yield from self._new_money()
        yield from self._whole_shares()

    def _total(self) -> Iterable[str]:
        rows = self.existing + self.increase + self.converting + self.new_money / self.price + self.adjusted
        yield from _equal("the rows' sum and the fully diluted total", rows, self.total)
        if not 0 <= Fraction(self.result["slope"]) < 1:
            yield f"the slope {self.result['slope']} is outside [0, 1)"

    def _price(self) -> Iterable[str]:
        after_money = self.increase if self.terms["pool_timing"] == "post_money" else Fraction(0)
        value = Fraction(self.terms["pre_money_usd"])
        convention = self.terms["pricing_convention"]
        if convention == "pre_money_method":
            shares = self.existing + self.increase - after_money
        else:
            shares = self.total - self.new_money / self.price - after_money
        if convention == "dollars_invested":
            value += sum((Fraction(each["amount_usd"]) for each in self.instruments), Fraction(0))
        yield from _equal(
            f"price times pre-money shares under {convention} and the pre-money", self.price * shares, value
        )

    def _pool(self) -> Iterable[str]:
        target = self.terms["pool_post_money"]
        if target is None:
            stated = Fraction(self.terms["pool_increase_shares"] or 0)
            yield from _equal("the pool increase and the stated one", self.increase, stated)
            return
        pool = self.company["options_available"] + self.increase
        if self.terms["pool_counts_granted"]:
            pool += self.company["options_granted"]
        wanted = Fraction(target) * self.total
        if self.increase > 0:
            yield from _equal("the pool and its target", pool, wanted)
        elif self.increase < 0 or pool < wanted:
            yield f"the pool of {pool} with an increase of {self.increase} misses its target of {wanted}"

    def _denominator(self, counted: Iterable[str]) -> Fraction:
        parts = {
            "granted": self.company["options_granted"] + self.company["warrants"],
            "promised": self.company["options_promised"],
            "available": self.company["options_available"],
            "increase": self.increase,
            "converting": self.converting,
            "adjustments": self.adjusted,
        }
        return sum((Fraction(parts[name]) for name in counted), Fraction(self.company["outstanding_as_converted"]))

    def _instrument(self, record: Record) -> Iterable[str]:
        name = record["instrument_id"]
        amount = Fraction(record["amount_usd"])
        rights = {"round_price": amount / self.price}
        if Fraction(record["discount"]) > 0:
            rights["discount"] = amount / (self.price * (1 - Fraction(record["discount"])))
        if record["ownership"] is not None:
            rights["fixed_ownership"] = Fraction(record["ownership"]) * self._denominator(record["counted"])
            rights.pop("discount", None)
        elif record["valuation_cap_usd"] is not None:
            rights["cap"] = amount * self._denominator(record["counted"]) / Fraction(record["valuation_cap_usd"])
        listed = {each["branch"]: Fraction(each["shares_exact"]) for each in record["alternatives"]}
        if listed != rights:
            yield f"{name} lists alternatives that are not its rights: {_named(listed)}, not {_named(rights)}"
        shares = Fraction(record["shares_exact"])
        yield from _equal(f"the shares of {name} and its best right", shares, max(rights.values()))
        if rights.get(record["branch"]) != shares:
            yield f"{name} did not convert by the branch {record['branch']!r} that it names"

    def _protection(self, record: Record) -> Iterable[str]:
        name = record["class_id"]
        before = Fraction(record["conversion_price_usd"])
        held = Fraction(record["as_converted"])
        after = min(before, self.price)
        if self.price < before and record["basis_shares"] is not None:
            basis = Fraction(record["basis_shares"])
            after = before * (basis + self.new_money / before) / (basis + self.new_money / self.price)
        extra = held * (before / after - 1)
        yield from _equal(f"the shares that protection adds to {name}", Fraction(record["extra_shares_exact"]), extra)
        if record["triggered"] != (self.price < before):
            yield f"{name} is said to be triggered: {record['triggered']}, at {self.price} against {before}"

    def _new_money(self) -> Iterable[str]:
        for each in self.result["new_money"]:
            bought = Fraction(each["amount_usd"]) / self.price
            yield from _equal(f"the shares bought by {each['holder_id']}", Fraction(each["shares_exact"]), bought)

    def _whole_shares(self) -> Iterable[str]:
        result = self.result
        rows = [*self.instruments, *result["new_money"]]
        whole = sum(each["shares"] for each in rows) + result["pool_increase"]
        existing = (self.existing + self.adjusted).__floor__()
        yield from _equal(
            "the whole rows' sum and the whole total", Fraction(existing + whole), result["fully_diluted"]
        )
        printed = Fraction(result["price_usd_rounded"])
        policy = self.terms["share_rounding"]
        step = Fraction(1, 10 ** self.terms["price_places"])
        if policy == "floor_fixed_point":
            yield from self._fixed_point(printed, step)
            return
        yield from _equal(
            "the printed price", printed, step * _rounded(self.price / step, self.terms["price_rounding"])
        )
        mode = policy.removesuffix("_after_price")
        bought_mode = self.terms["new_money_share_rounding"] or _MODES[mode]
        divisor = printed if mode != policy else self.price
        for each in result["new_money"]:
            bought = _rounded(Fraction(each["amount_usd"]) / divisor, bought_mode)
            yield from _equal(f"the whole shares of {each['holder_id']}", each["shares"], bought)
        if mode == policy:
            for each in self.instruments:
                rounded = _rounded(Fraction(each["shares_exact"]), _MODES[mode])
                yield from _equal(f"the whole shares of {each['instrument_id']}", each["shares"], rounded)
        elif self.terms["conversion_price_places"] is not None:
            yield from self._converted_at_printed_prices(printed, mode)

    def _converted_at_printed_prices(self, round_price: Fraction, mode: str) -> Iterable[str]:
        step = Fraction(1, 10 ** self.terms["conversion_price_places"])
        for each in self.instruments:
            if each["branch"] == "fixed_ownership":
                continue
            price = round_price
            if each["branch"] == "discount":
                price *= 1 - Fraction(each["discount"])
            elif each["branch"] == "cap":
                price = Fraction(each["amount_usd"]) / Fraction(each["shares_exact"])
            if each["branch"] != "round_price":
                price = step * _rounded(price / step, self.terms["price_rounding"])
            bought = _rounded(Fraction(each["amount_usd"]) / price, _MODES[mode])
            yield from _equal(f"the whole shares of {each['instrument_id']}", each["shares"], bought)

    def _fixed_point(self, printed: Fraction, step: Fraction) -> Iterable[str]:
        value = Fraction(self.terms["pre_money_usd"]) + self.new_money
        after_money = self.result["pool_increase"] if self.terms["pool_timing"] == "post_money" else 0
        price = value / (self.result["fully_diluted"] - after_money)
        yield from _equal("the printed price", printed, step * _rounded(price / step, self.terms["price_rounding"]))
        mode = self.terms["new_money_share_rounding"] or "floor"
        for each in self.result["new_money"]:
            bought = _rounded(Fraction(each["amount_usd"]) / printed, mode)
            yield from _equal(f"the whole shares of {each['holder_id']}", each["shares"], bought)


def _equal(what: str, found: Fraction | int, expected: Fraction | int) -> Iterable[str]:
    if Fraction(found) != Fraction(expected):
        yield f"{what}: {found} is not {expected}"


def _named(rights: Mapping[str, Fraction]) -> str:
    return ", ".join(f"{branch} {shares}" for branch, shares in sorted(rights.items()))


def _rounded(value: Fraction, mode: str) -> int:
    below, rest = divmod(value, 1)
    if mode == "floor" or rest == 0:
        return below
    if mode == "ceiling" or rest > Fraction(1, 2):
        return below + 1
    if rest < Fraction(1, 2):
        return below
    return below + 1 if mode == "half_up" else below + below % 2
