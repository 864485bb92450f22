"""Load the history of an issuer and its instruments directly from the log."""

import asyncio
from collections import OrderedDict
from typing import Any, Final, NamedTuple

from events.issuer import IssuerInstrumentSigned
from events.subjects import render_subject
from marketplace.captable.history import Act, History, build_history
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id
from marketplace.log.annotations import Annotations, get_hash
from marketplace.log.events import parse_event
from marketplace.log.port import Log

INSTRUMENTS_MAX: Final = 2_000
"""The most signed instruments of an issuer whose history is read."""
KEPT_MAX: Final = 50_000
"""The most events that a process keeps; those that were read the longest time ago go first."""
_AT_ONCE: Final = 16


class _Kept(NamedTuple):
    """The events of one subject up to a position, and the chain hash there."""

    acts: tuple[Act, ...]
    sequence: int
    hash: str


class Histories:
    """Reads the events of issuers and instruments, and keeps them, so that the next read asks only for later ones.

    A subject with an annotated or lost event is not kept, because an annotation changes what earlier events mean.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._annotations: Annotations | None = getattr(log, "annotations", None)  # a log in memory has none
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._size = 0

    async def load(self, aggregate: str, id: str) -> tuple[Act, ...]:  # noqa: A002 - the field's word
        """Return the events of an aggregate, without those that were passed over.

        Raises:
            UnreadableEvent: An event is damaged.
            Unavailable: The log cannot be read.
        """
        subject = render_subject(aggregate, id)
        kept = self._kept.get(subject)
        if self._annotations is not None and self._annotations.touches(subject):
            kept = None
        elif kept is not None:
            later = await self._log.load(subject, kept.sequence, previous_hash=kept.hash)
            if not later:
                self._keep(subject, kept)
                return kept.acts
            if later[0].damage is not None:
                kept = None
        if kept is None:
            later = await self._log.load(subject)
        acts = [] if kept is None else list(kept.acts)
        for recorded in later:
            if not recorded.void:
                event: Any = parse_event(recorded)
                acts.append(Act(recorded.sequence, recorded.envelope.time, id, event))
        if later:
            self._keep(subject, _Kept(tuple(acts), later[-1].sequence, get_hash(later[-1])))
        return tuple(acts)

    def _keep(self, subject: str, kept: _Kept) -> None:
        before = self._kept.pop(subject, None)
        self._kept[subject] = kept
        self._size += len(kept.acts) - (0 if before is None else len(before.acts))
        while self._size > KEPT_MAX:
            _, oldest = self._kept.popitem(last=False)
            self._size -= len(oldest.acts)


async def load_history(histories: Histories, issuer_id: str) -> History:
    """Return the history of an issuer; an empty history if there is no such issuer.

    Raises:
        Refusal: ``history_too_long`` above `INSTRUMENTS_MAX` instruments.
        UnreadableEvent: An event is damaged.
        Unavailable: The log cannot be read.
        UnreadableEvent: An event of the issuer or of an instrument cannot be read.
    """
    if not is_id(issuer_id, "iss"):
        return History(issuer_id, ())
    acts = [*await histories.load("issuer", issuer_id)]
    signed = [act.event.instrument_id for act in acts if isinstance(act.event, IssuerInstrumentSigned)]
    if len(signed) > INSTRUMENTS_MAX:
        raise Refusal(
            "history_too_long",
            f"issuer {issuer_id} has {len(signed)} instruments; at most {INSTRUMENTS_MAX} can be read at once",
            issuer_id=issuer_id,
        )
    for first in range(0, len(signed), _AT_ONCE):
        batch = signed[first : first + _AT_ONCE]
        for loaded in await asyncio.gather(*(histories.load("instrument", each) for each in batch)):
            acts += loaded
    return build_history(issuer_id, acts)
