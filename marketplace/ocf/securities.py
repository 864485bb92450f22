"""The state of each security of a package, from issuance to end; `lifecycle` checks against it."""

from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Final

from msgspec import UNSET

from marketplace.ocf import transactions as tx
from marketplace.ocf.numbers import render_number
from marketplace.ocf.parsing import Located, Package

KINDS: Final = {
    tx.StockIssuance: "STOCK",
    tx.ConvertibleIssuance: "CONVERTIBLE",
    tx.WarrantIssuance: "WARRANT",
    tx.CompensationIssuance: "EQUITY_COMPENSATION",
}


@dataclass(slots=True)
class Security:
    """A security.

    Attributes:
        issued: Its issuance.
        kind: Part of the names of its transactions.
        left: Shares or dollars outstanding; None for a warrant of unstated size.
        ended_by: The transaction that ended it.
        made: Whether another security's transaction made it.
    """

    issued: Located
    kind: str
    left: Fraction | None
    ended_by: str | None = None
    made: bool = False

    @property
    def issuance(self) -> tx.Issuance:
        """Its issuance."""
        assert isinstance(self.issued.item, tx.Issuance), "a security begins with its issuance"
        return self.issued.item

    @property
    def day(self) -> date:
        """Day of issuance."""
        return self.issuance.date


def build_security(located: Located) -> Security:
    """Return a security as it was issued."""
    item = located.item
    left: Fraction | None = None
    match item:
        case tx.StockIssuance() | tx.CompensationIssuance():
            left = Fraction(item.quantity)
        case tx.ConvertibleIssuance():
            left = Fraction(item.investment_amount.amount)
        case tx.WarrantIssuance() if item.quantity is not UNSET:
            left = Fraction(item.quantity)
    return Security(located, KINDS[type(item)], left)


def order_transactions(package: Package) -> list[tuple[Located, tx.Transaction]]:
    """Return the transactions by day, within one day in the order of the files."""
    found = [(located, located.item) for located in package.items if isinstance(located.item, tx.Transaction)]
    return sorted(found, key=lambda pair: pair[1].date)


def show(value: Fraction) -> str:
    """Return an amount as findings write it."""
    return render_number(value)


def find_amount(item: tx.Transaction) -> Fraction | None:
    """Return how much of its security a transaction takes; None if it takes all or states no amount."""
    match item:
        case tx.ShareTransfer() | tx.ShareCancellation() | tx.StockRepurchase() | tx.CompensationExercise():
            return Fraction(item.quantity)
        case tx.CompensationRelease():
            return Fraction(item.quantity)
        case tx.ConvertibleTransfer() | tx.ConvertibleCancellation():
            return Fraction(item.amount.amount)
        case tx.StockConversion():
            return Fraction(item.quantity_converted)
        case tx.ConvertibleConversion() if item.quantity_converted is not UNSET:
            return Fraction(item.quantity_converted)
    return None


def list_results(item: tx.Transaction) -> tuple[str, ...]:
    """Return the securities that a transaction names as its results, without the balance."""
    results = getattr(item, "resulting_security_ids", ())
    return tuple(results)


def find_balance(item: tx.Transaction) -> str | None:
    """Return the balance security of a transaction, which holds the rest; None if it names none."""
    balance = getattr(item, "balance_security_id", UNSET)
    return None if balance is UNSET else str(balance)


def ends_security(item: tx.Transaction) -> bool:
    """Return whether a transaction ends its security; a rest may continue under another id."""
    whole = (
        tx.Transfer,
        tx.Cancellation,
        tx.Retraction,
        tx.StockRepurchase,
        tx.ConvertibleConversion,
        tx.StockConversion,
        tx.StockReissuance,
    )
    return isinstance(item, whole)
