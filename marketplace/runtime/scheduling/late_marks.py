"""Grants that are to be marked, since a relation among their parties became known after the award.

A relation that is firm only after a trade marks the trade, if it held then. An award that was decided while a relation
was being stored is found too, because both orders of the two events are looked at.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from events.grant import GrantIssued, GrantMarked, Mark
from events.register import RegisterRelationEnded, RegisterRelationFound, RegisterRelationStated
from events.types import Event
from marketplace.domain.register import REGISTER, Register, Sides, find_mark, list_sides


class _Trade(NamedTuple):
    """The sides of a grant, when it was awarded, and how it is marked."""

    sides: Sides
    at: datetime
    mark: Mark | None


class LateMarks:
    """Every grant with its sides, and every relation, as the log tells them.

    Attributes:
        due: What each grant that is to be marked gets: the mark, and the relation that became known last.
    """

    def __init__(self) -> None:
        self.due: dict[str, tuple[Mark, str]] = {}
        self._register = Register()
        self._relation_id = ""
        self._trades: dict[str, _Trade] = {}

    def notice(self, event: Event, at: datetime) -> Iterator[str]:
        """Apply the next event of the log, of the time `at`, and yield the grants that are to be marked from now on.

        The event is applied as the iterator is read.
        """
        match event:
            case GrantIssued():
                self._trades[event.grant_id] = _Trade(list_sides(event), at, event.mark)
                yield from self._check(event.grant_id)
            case GrantMarked():
                known = self._trades.get(event.grant_id)
                if known is not None:
                    self._trades[event.grant_id] = known._replace(mark=event.mark)
                self.due.pop(event.grant_id, None)
            case RegisterRelationEnded():
                self._register = REGISTER.evolve(self._register, event)
            case RegisterRelationStated() | RegisterRelationFound():
                self._register = REGISTER.evolve(self._register, event)
                if isinstance(event, RegisterRelationFound) or event.firm:
                    self._relation_id = event.relation_id
                    for grant_id in self._trades:
                        yield from self._check(grant_id)
            case _:
                pass

    def _check(self, grant_id: str) -> Iterator[str]:
        trade = self._trades[grant_id]
        if trade.mark == "related" or not self._relation_id:
            return
        mark = find_mark(self._register, trade.sides, trade.at)
        if mark not in {None, trade.mark}:
            self.due[grant_id] = (mark, self._relation_id)
            yield grant_id
