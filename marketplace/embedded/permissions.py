"""What each NATS user may publish to and hear: lists of what is allowed, nothing else is (ADR 13).

`deploy/nats/accounts.conf` says the same for servers that run on their own; a test compares them.

Each user hears answers under an inbox prefix of its own, ``_INBOX_`` and its name in capitals, and no user may publish
to the inbox of another. The server itself publishes its answer to any reply subject that a request names, without
asking for permission, so that an inbox also needs names that nobody can guess (`log/connection.py`).
"""

from typing import Final

from events.subjects import ROOT, STREAM, TURNS
from marketplace.log.inboxes import METER_INBOX, SUBSCRIBER_INBOX, render_inbox_prefix

APPLICATION: Final = "app"
SUBSCRIBER: Final = "subscriber"
METER: Final = "meter"
METERS: Final = "meters.usage"

_READS: Final = (
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.INFO.*",
    f"$JS.API.STREAM.MSG.GET.{STREAM}",
    f"$JS.API.DIRECT.GET.{STREAM}",
    f"$JS.API.DIRECT.GET.{STREAM}.>",
    f"$JS.API.CONSUMER.CREATE.{STREAM}",
    f"$JS.API.CONSUMER.CREATE.{STREAM}.>",
    f"$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.*",
    f"$JS.API.CONSUMER.INFO.{STREAM}.*",
    f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.*",
    f"$JS.ACK.{STREAM}.>",
    f"$JS.FC.{STREAM}.>",
)

MAY_PUBLISH: Final = {
    APPLICATION: (
        f"{ROOT}.*.*",
        f"{TURNS}.{STREAM}",
        f"{METER_INBOX}.>",
        f"$JS.API.CONSUMER.DELETE.{STREAM}.*",
        *_READS,
    ),
    SUBSCRIBER: _READS,
    METER: (METERS,),
}
"""Subjects that a user may publish to, or ask on."""

MAY_HEAR: Final = {
    APPLICATION: (METERS, f"{TURNS}.{STREAM}", f"{render_inbox_prefix(APPLICATION)}.>"),
    SUBSCRIBER: (f"{SUBSCRIBER_INBOX}.>",),
    METER: (f"{METER_INBOX}.>",),
}
"""Subjects that a user may subscribe to. The log's own are not among them: what is published there carries the subject
that its answer goes to, and is no event before the stream has stored it."""
