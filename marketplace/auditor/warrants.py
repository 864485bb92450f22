"""Checks warrants from their raw events: nothing unvested is exercised, and nobody attests its own milestone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate, pairwise
from math import ceil
from typing import Any


@dataclass(slots=True)
class Warrant:
    """One warrant, from its events alone.

    Attributes:
        interested: The holders that it had, and the affiliates that its issue names.
        attesters: Who attests each milestone; None: the platform.
        available: Vested shares of each tranche that were not exercised.
        released: Tranches whose conditions of exercise hold.
        gains_by_price: Whether a price of a share may vest it, fix its price or count in its exercise.
        left: Shares of each tranche that it still buys.
        prices: USD of a share of each tranche; its own, until that is fixed.
        unpriced: Tranches whose price is not fixed.
        accelerates: When a sale lets all of it vest; None: never.
    """

    interested: set[str]
    attesters: dict[str, str | None]
    available: list[int]
    released: set[int]
    gains_by_price: bool = False
    left: list[int] = field(default_factory=list)
    prices: list[Fraction] = field(default_factory=list)
    unpriced: set[int] = field(default_factory=set)
    accelerates: Mapping[str, Any] | None = None

    def take(self, name: str, body: Mapping[str, Any], company_id: str) -> str | None:
        """Fold one event, and return what is wrong with it; None if nothing is."""
        match name:
            case "warrant_vested":
                self.available[body["tranche"]] += body["shares"]
            case "warrant_released":
                self.released.add(body["tranche"])
            case "warrant_vesting_reversed":
                self.available[body["tranche"]] -= body["shares"]
                if self.available[body["tranche"]] < 0:
                    return f"{body['shares']} shares of tranche {body['tranche']} lose vesting that they did not have"
            case "warrant_transferred":
                self.interested.add(body["holder_id_after"])
            case "warrant_priced":
                self.prices[body["tranche"]] = Fraction(body["exercise_price_usd"])
                self.unpriced.discard(body["tranche"])
            case "warrant_cancelled" | "warrant_expired":
                self._cancel(body["shares"])
            case "warrant_exercised":
                return self._use(body["shares"] + body.get("shares_surrendered", 0), body.get("tranche"))
            case "milestone_attested":
                return self._check_attester(body["milestone"], body["attester_id"], company_id)
            case _:
                pass
        return None

    def _use(self, shares: int, only: int | None) -> str | None:
        left = shares
        for index in sorted(self.released) if only is None else [only]:
            taken = min(left, self.available[index]) if index in self.released else 0
            self.available[index] -= taken
            self.left[index] -= taken
            left -= taken
        return f"{shares} shares are exercised, {shares - left} had vested and were exercisable" if left else None

    def _check_attester(self, milestone: str, attester_id: str | None, company_id: str) -> str | None:
        stated = self.attesters.get(milestone, "nobody")
        if attester_id is not None and (attester_id != stated or attester_id in {*self.interested, company_id}):
            return f"{attester_id} attests {milestone}, which {stated or 'the platform'} attests"
        return None

    def _cancel(self, shares: int) -> None:
        """Take shares that ended, of the last tranches first."""
        for index in reversed(range(len(self.left))):
            taken = min(shares, self.left[index])
            self.left[index] -= taken
            shares -= taken

    def find_price(self) -> Fraction:
        """Return the least USD for which it buys a share; 0 while the price of a tranche is not fixed."""
        return Fraction(0) if self.unpriced else min(self.prices)

    def list_rights(self) -> Iterator[tuple[bool, int, Fraction]]:
        """Yield whether shares may be exercised now, how many they are, and the USD of one."""
        for index, left in enumerate(self.left):
            is_open = index in self.released and index not in self.unpriced
            now = min(self.available[index], left) if is_open else 0
            yield True, now, self.prices[index]
            yield False, left - now, self.prices[index]

    def list_counted(self, proceeds: Fraction) -> Iterator[tuple[int, Fraction]]:
        """Yield how many shares a sale for these USD counts, and the USD of one."""
        terms = self.accelerates
        limit = Fraction((terms or {}).get("proceeds_usd") or 0)
        whole = (
            terms is not None and {"always": True, "below": proceeds < limit, "above": proceeds > limit}[terms["when"]]
        )
        yield from ((count, price) for is_now, count, price in self.list_rights() if is_now or whole)

    def split(self, ratio: Fraction) -> None:
        """Multiply what is available. A tranche that is rounded may gain the rest of one share."""
        self.available = [ceil(shares * ratio) for shares in self.available]
        totals = [int(shares * ratio) for shares in accumulate(self.left, initial=0)]
        self.left = [after - before for before, after in pairwise(totals)]
        self.prices = [price / ratio for price in self.prices]


def build_warrant(body: Mapping[str, Any]) -> Warrant:
    """Return a warrant from its issue event."""
    tranches = body.get("tranches") or []
    conditions = [
        milestone
        for tranche in tranches
        for members in (tranche.get("conditions", []), tranche.get("exercise_conditions", []))
        for condition in members
        for milestone in condition
    ]
    own = body.get("exercise_price_usd") or 0
    return Warrant(
        interested={body["holder_id"], *body.get("affiliate_ids", [])},
        attesters={each["name"]: each.get("attester_id") for each in conditions if each["kind"] == "attested"},
        available=[0] * len(tranches) or [body["shares"]],
        released={index for index, each in enumerate(tranches or [{}]) if not each.get("exercise_conditions")},
        gains_by_price=body.get("settlement") != "cash"
        or any(each["kind"] == "price" for each in conditions)
        or any(each.get("later_price") for each in tranches),
        left=[each["shares"] for each in tranches] or [body["shares"]],
        prices=[Fraction(each.get("exercise_price_usd") or own) for each in tranches or [{}]],
        unpriced={index for index, each in enumerate(tranches) if each.get("later_price")},
        accelerates=body.get("change_of_control"),
    )
