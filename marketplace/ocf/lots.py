"""Certificates for a register that counts shares by holder and class only.

OCF names every certificate, and a transfer or repurchase names the certificate that it takes from. The marketplace's
register does not; the oldest certificate is taken first.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Lot:
    """Shares under one security id."""

    security_id: str
    shares: int
    price_usd: Decimal | Fraction


class TakenShares(NamedTuple):
    """The shares taken from a lot, and the lot that holds the rest, if any."""

    lot: Lot
    shares: int
    balance: Lot | None


class Lots:
    """Lots by holder and class, oldest first."""

    def __init__(self) -> None:
        self._lots: dict[tuple[str, str], deque[Lot]] = {}
        self._balances = 0

    def add(self, holder_id: str, class_id: str, lot: Lot) -> None:
        """Put a new lot at the end."""
        self._lots.setdefault((holder_id, class_id), deque()).append(lot)

    def take(self, holder_id: str, class_id: str, shares: int) -> Iterator[TakenShares]:
        """Take shares from the oldest lots. The rest of a lot stays first in line, under a new id.

        The holder must have so many shares of the class.
        """
        held = self._lots[holder_id, class_id]
        while shares:
            lot = held.popleft()
            taken = min(shares, lot.shares)
            balance = None
            if taken < lot.shares:
                self._balances += 1
                balance = replace(lot, security_id=f"balance-{self._balances}", shares=lot.shares - taken)
                held.appendleft(balance)
            yield TakenShares(lot, taken, balance)
            shares -= taken

    def list_odd(self, ratio: Fraction) -> list[tuple[str, str, tuple[Lot, ...]]]:
        """Return the lots by holder and class, where a split would leave any of them with a fraction of a share."""
        return [
            (holder_id, class_id, tuple(held))
            for (holder_id, class_id), held in sorted(self._lots.items())
            if any((lot.shares * ratio).denominator != 1 for lot in held)
        ]

    def replace(self, holder_id: str, class_id: str, lot: Lot) -> None:
        """Replace all lots of a holder in a class by one."""
        self._lots[holder_id, class_id] = deque([lot])

    def split(self, ratio: Fraction) -> None:
        """Multiply every lot; call `list_odd` first, since none may be left with a fraction."""
        for key, held in self._lots.items():
            self._lots[key] = deque(
                replace(lot, shares=int(lot.shares * ratio), price_usd=Fraction(lot.price_usd) / ratio) for lot in held
            )
