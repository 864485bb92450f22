"""Store operators' statements about the log itself.

They bypass the cache and are stored even if other events of the subject cannot be read. An annotation must be possible
whatever part of the log is damaged.
"""

from datetime import UTC, datetime
from typing import Final

from events.envelope import Envelope
from events.registry import get_tag, render_body, render_type
from events.rendering.json_schema import render_schema_id
from events.subjects import LOG_ID, LOG_SUBJECT
from marketplace.core.ids import derive_id
from marketplace.domain.log import LOG, Command
from marketplace.log.codec import get_link, seal
from marketplace.log.events import find_damage, parse_event
from marketplace.log.port import Head, Log, Write

_OPERATOR: Final = "operator"
_SOURCE: Final = "/marketplace"


async def record(log: Log, command: Command) -> int:
    """Store an operator's statement about the log, and return its sequence.

    A repeat of an annotation or of an accepted gap stores nothing new. A loss is accepted once each time that the log
    went back.

    Raises:
        Refusal: ``annotation_exists`` · ``gap_accepted``.
        Conflict: Another operator was first.
        Unavailable: The log cannot be reached.
    """
    stored = await log.load(LOG_SUBJECT)
    state, link = LOG.initial, ""
    for recorded in stored:
        link = get_link(recorded, link)
        if not recorded.void and find_damage(recorded) is None:
            state = LOG.fold([parse_event(recorded)], state)  # type: ignore[list-item] # of this subject
    last = stored[-1].sequence if stored else 0
    events = LOG.decide(command, state)
    if not events:
        return last
    (event,) = events
    tag, command_id = get_tag(event), derive_id("cmd", LOG_ID, f"{type(command).__name__}/{last}")
    envelope = Envelope(
        id=derive_id("evt", command_id, f"log/{LOG_ID}#0"),
        source=_SOURCE,
        type=render_type(tag),
        subject=f"log/{LOG_ID}",
        time=datetime.now(UTC),
        dataschema=render_schema_id(tag),
        correlationid=command_id,
        causationid=command_id,
        actor=_OPERATOR,
    )
    message = seal(LOG_SUBJECT, link, envelope, render_body(event))
    head = Head(LOG_SUBJECT, None, message.envelope.hash)
    return await log.append([Write(Head(LOG_SUBJECT, last, link), (message,), head)])
