"""The acts of an issuer and of its instruments, in one order, cut at two times.

An act has an instant, at which it happened, and a sequence, at which the log recorded it. An imported act may have
happened long before it was recorded. Invariant: the order of acts depends on their instants and their aggregates, never
on sequences, so that a history and its copy in another log have the same order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from events.instrument import InstrumentEvent
from events.issuer import IssuerEvent, IssuerImported
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.instrument.state import Instrument
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import Issuer


class Act(NamedTuple):
    """One event of an issuer or of one of its instruments.

    Attributes:
        sequence: Its position in the log.
        time: When it happened.
        aggregate: Id of the issuer or of the instrument.
        event: What happened.
    """

    sequence: int
    time: datetime
    aggregate: str
    event: IssuerEvent | InstrumentEvent


@dataclass(frozen=True, slots=True)
class History:
    """The acts of an issuer and its instruments.

    Attributes:
        issuer_id: The issuer.
        acts: All acts; those of one aggregate stand in their own order.
    """

    issuer_id: str
    acts: tuple[Act, ...]

    def until(self, at: datetime | None = None, known: int | None = None) -> "History":
        """Return the acts that happened at or before `at` and were recorded at or before `known`; None: no limit."""
        return History(
            self.issuer_id,
            tuple(
                act for act in self.acts if (at is None or act.time <= at) and (known is None or act.sequence <= known)
            ),
        )

    def find_issuer(self) -> Issuer | None:
        """Return the issuer after these acts, None before its formation."""
        events: list[Any] = [act.event for act in self.acts if act.aggregate == self.issuer_id]
        state = ISSUER.fold(events)
        return state if isinstance(state, Issuer) else None

    def get_issuer(self) -> Issuer:
        """Return the issuer after these acts.

        Raises:
            Refusal: ``issuer_unknown``: it was not formed by then.
        """
        issuer = self.find_issuer()
        if issuer is None:
            raise Refusal(
                "issuer_unknown",
                f"there is no issuer {self.issuer_id}, or it was not formed by then",
                issuer_id=self.issuer_id,
            )
        return issuer

    def list_instruments(self) -> dict[str, Instrument]:
        """Return the instruments after these acts, by id in order."""
        events: dict[str, list[Any]] = {}
        for act in self.acts:
            if act.aggregate != self.issuer_id:
                events.setdefault(act.aggregate, []).append(act.event)
        folded = {instrument_id: INSTRUMENT.fold(each) for instrument_id, each in sorted(events.items())}
        return {instrument_id: state for instrument_id, state in folded.items() if state is not None}

    def get_origins(self) -> Mapping[str, str]:
        """Return the names that the imported package has for things, by their ids here; empty without an import."""
        imported = (act.event for act in self.acts if isinstance(act.event, IssuerImported))
        return next((event.origins for event in imported), {})

    def get_former_ids(self) -> Mapping[str, str]:
        """Return the former ids of things, by their ids here, if the issuer was imported from a market's own export."""
        return list_former_ids(self.get_origins())

    @property
    def last_sequence(self) -> int:
        """Position of the last of the acts; 0 where there are none."""
        return max((act.sequence for act in self.acts), default=0)


def list_former_ids(origins: Mapping[str, str]) -> dict[str, str]:
    """Return the package's names that are ids of our own format and of the same kind, by the ids here."""
    return {ours: theirs for ours, theirs in origins.items() if is_id(theirs, ours[:3])}


def build_history(issuer_id: str, acts: Iterable[Act]) -> History:
    """Return the history of acts, given in any order that keeps each aggregate's own order."""
    own: dict[str, list[Act]] = {}
    origins: Mapping[str, str] = {}
    for act in acts:
        own.setdefault(act.aggregate, []).append(act)
        if isinstance(act.event, IssuerImported):
            origins = list_former_ids(act.event.origins)
    keyed = []
    for aggregate, each in own.items():
        happened = [act.time for act in each if not isinstance(act.event, IssuerImported)] or [each[0].time]
        latest = happened[0]
        for index, act in enumerate(each):
            if not isinstance(act.event, IssuerImported):
                latest = max(latest, act.time)
            keyed.append(((latest, aggregate != issuer_id, origins.get(aggregate, aggregate), index), act))
    return History(issuer_id, tuple(act for _, act in sorted(keyed, key=lambda pair: pair[0])))
