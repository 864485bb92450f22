"""What the rules speak of: lines, and what later events of a grant, an instrument or an issuer leave unsaid."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Posting:
    """One line: a signed amount on one account.

    Attributes:
        account: The account, ``<owner>/<kind>``.
        party_id: Whose it is; None for the outside world and money in transit.
        unit: The account's unit.
        amount: Positive into the account.
    """

    account: str
    party_id: str | None
    unit: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Subject:
    """What later events of a grant, an instrument or an issuer leave unsaid.

    Attributes:
        id: The grant, instrument or issuer.
        unit: Unit of its postings; empty for an issuer.
        party_id: The startup of a grant, the holder of an instrument, the startup behind an issuer.
        source: Account that what is left goes back to.
        source_party_id: Whose that account is.
        open: Committed or undrawn amount.
        delivered: Delivered and not accepted.
        closed: Whether what is left has gone back.
    """

    id: str
    unit: str
    party_id: str
    source: str
    source_party_id: str
    open: Decimal = Decimal(0)
    delivered: Decimal = Decimal(0)
    closed: bool = False


class Subjects(Protocol):
    """The subjects that the events of a batch need."""

    def find(self, subject_id: str) -> Subject | None:
        """Return a subject as the events so far have left it."""
        ...

    def put(self, subject: Subject) -> None:
        """Keep a subject for the events that follow."""
        ...


def sum_by_unit(postings: Iterable[Posting]) -> dict[str, Decimal]:
    """Return the sum of postings in each unit."""
    sums: dict[str, Decimal] = {}
    for posting in postings:
        sums[posting.unit] = sums.get(posting.unit, Decimal(0)) + posting.amount
    return sums
