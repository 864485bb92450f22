"""Which buyers, and which sellers, count as one in the index, by the relations of the register.

Firm relations group everybody whom they connect. A relation that one party states alone groups that party, with those
firmly tied to it, with one other: the first that one of them names. So nobody makes two strangers one. It counts from
the day of its statement on, and a firm relation for every day on which it held, also before it was known.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime

import msgspec


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of a relation at one instant.

    Attributes:
        known_at: When it was said.
        since: Since when the relation holds; None: always.
        is_firm: Whether it counts for everybody.
    """

    known_at: datetime
    since: datetime | None
    is_firm: bool


class Tie(msgspec.Struct, frozen=True, kw_only=True):
    """A relation.

    Attributes:
        party_id: The party that stated it first, or for which it was found.
        other: The other party, or the owner outside this market.
        words: The statements about it, in order.
        ended_at: Until when it held; None: it holds.
    """

    party_id: str
    other: str
    words: tuple[Word, ...]
    ended_at: datetime | None = None

    def holds(self, day: date, at: datetime, *, is_firm: bool) -> bool:
        """Return whether the relation counts for the print of a day, by the statements up to an instant.

        With `is_firm`, only what counts for everybody; without, only what one party alone stated, from when it did.
        """
        if self.ended_at is not None and self.ended_at.date() < day:
            return False
        known = (word for word in self.words if word.known_at <= at and word.is_firm == is_firm)
        since = (word.since if is_firm else word.known_at for word in known)
        return any(begun is None or begun.date() <= day for begun in since)


class _Groups:
    """Disjoint sets of parties and owners."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def find(self, party: str) -> str:
        while (parent := self._parents.get(party, party)) != party:
            self._parents[party] = party = self._parents.get(parent, parent)
        return party

    def connect(self, one: str, other: str) -> None:
        self._parents[self.find(one)] = self.find(other)


class Ties:
    """The relations that may make some of these traders one."""

    def __init__(self, ties: Sequence[Tie], traders: Collection[str]) -> None:
        """Keep the ties that connect two or more of the traders."""
        groups, counts = _Groups(), dict[str, int]()
        for tie in ties:
            groups.connect(tie.party_id, tie.other)
        for trader in set(traders):
            group = groups.find(trader)
            counts[group] = counts.get(group, 0) + 1
        kept = [tie for tie in ties if counts.get(groups.find(tie.party_id), 0) > 1]
        self._ties = sorted(kept, key=lambda tie: (tie.words[0].known_at, tie.party_id, tie.other))

    def list_instants(self) -> list[datetime]:
        """Return the instants at which something was said of a relation, in no order."""
        return [word.known_at for tie in self._ties for word in tie.words]

    def find_groups(self, day: date, at: datetime) -> Mapping[str, str]:
        """Return a name of its group for each party and owner of a relation that counts for the print of a day.

        Only what had been said at the instant `at` counts. Parties with the same name are one trader.
        """
        firm = [tie for tie in self._ties if tie.holds(day, at, is_firm=True)]
        alone = [tie for tie in self._ties if tie.holds(day, at, is_firm=False)]
        owners, joined, groups = _Groups(), set[str](), _Groups()
        for tie in firm:
            owners.connect(tie.party_id, tie.other)
        for tie in alone:
            one, other = owners.find(tie.party_id), owners.find(tie.other)
            if one != other and one not in joined:
                joined.add(one)
                groups.connect(one, other)
        ends = {end for tie in (*firm, *alone) for end in (tie.party_id, tie.other)}
        return {end: groups.find(owners.find(end)) for end in ends}
