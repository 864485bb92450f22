"""The values of the posting rules: postings, and the facts that later events of a subject do not repeat."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
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
    """Facts of a grant, a service line, an instrument or an issuer that its later events do not repeat.

    Attributes:
        id: The grant, service line, instrument or issuer.
        unit: Unit of its postings; empty for an issuer.
        party_id: The startup of a grant or service line, the holder of an instrument, the startup behind an issuer.
        source: Account to which the rest returns.
        source_party_id: That account's party.
        open: Committed or undrawn amount.
        unaccepted: Amount that is metered, less what is accepted; negative while a credit is due.
        closed: Whether the rest has been returned.
        begins_at: The new start of a rescheduled grant; what was metered before it counts for nothing. None: no grant,
            or none that was rescheduled.
        passed: Whether an instrument passed to the party that its holder is, whose accounts then have the party's id.
    """

    id: str
    unit: str
    party_id: str
    source: str
    source_party_id: str
    open: Decimal = Decimal(0)
    unaccepted: Decimal = Decimal(0)
    closed: bool = False
    begins_at: datetime | None = None
    passed: bool = False

    @property
    def delivered(self) -> Decimal:
        """Return the amount that is delivered and not accepted."""
        return max(self.unaccepted, Decimal(0))


class Subjects(Protocol):
    """The subjects that the events of a batch need."""

    def find(self, subject_id: str) -> Subject | None:
        """Return a subject after the events so far; None if no event began it."""
        ...

    def put(self, subject: Subject) -> None:
        """Store a subject for later events."""
        ...


def sum_by_unit(postings: Iterable[Posting]) -> dict[str, Decimal]:
    """Return the sum of postings in each unit."""
    sums: dict[str, Decimal] = {}
    for posting in postings:
        sums[posting.unit] = sums.get(posting.unit, Decimal(0)) + posting.amount
    return sums
