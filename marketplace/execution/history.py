"""Load the history of an issuer and its instruments directly from the log."""

import asyncio
from typing import Any, Final

from events.issuer import IssuerInstrumentSigned
from events.subjects import render_subject
from marketplace.captable.history import Act, History, build_history
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id
from marketplace.log.events import parse_event
from marketplace.log.port import Log

INSTRUMENTS_MAX: Final = 2_000
"""The most signed instruments of an issuer whose history is read."""
_AT_ONCE: Final = 16


async def load_history(log: Log, issuer_id: str) -> History:
    """Return the history of an issuer; an empty history if there is no such issuer.

    Raises:
        Refusal: ``history_too_long`` above `INSTRUMENTS_MAX` instruments.
        Unavailable: The log cannot be read.
        UnreadableEvent: An event of the issuer or of an instrument cannot be read.
    """
    if not is_id(issuer_id, "iss"):
        return History(issuer_id, ())
    acts = await _load(log, "issuer", issuer_id)
    signed = [act.event.instrument_id for act in acts if isinstance(act.event, IssuerInstrumentSigned)]
    if len(signed) > INSTRUMENTS_MAX:
        raise Refusal(
            "history_too_long",
            f"issuer {issuer_id} has {len(signed)} instruments; at most {INSTRUMENTS_MAX} can be read at once",
            issuer_id=issuer_id,
        )
    for first in range(0, len(signed), _AT_ONCE):
        batch = signed[first : first + _AT_ONCE]
        for loaded in await asyncio.gather(*(_load(log, "instrument", each) for each in batch)):
            acts += loaded
    return build_history(issuer_id, acts)


async def _load(log: Log, aggregate: str, id: str) -> list[Act]:  # noqa: A002 - the field's word
    acts = []
    for recorded in await log.load(render_subject(aggregate, id)):
        if recorded.void:
            continue
        event: Any = parse_event(recorded)
        acts.append(Act(recorded.sequence, recorded.envelope.time, id, event))
    return acts
