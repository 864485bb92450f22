"""What each NATS user may publish and subscribe to. Everything else is refused (ADR 13).

`deploy/nats/accounts.conf` has the same lists for servers that run on their own; a test compares them.

Each user receives answers under its own inbox prefix, ``_INBOX_`` and its name in capitals, and no user may publish to
another's inbox. The server publishes its answer to any reply subject that a request names, without checking
permissions, so inbox names must also be unguessable (`log/connection.py`).

Meters, and subscribers that the operator does not trust, have an account each. The account of the log offers them
services (`EXPORTS`), and each account imports the subjects that it may use. A request from another account, and its
answer, reach no inbox but the asker's.
"""

from typing import Final

from events.subjects import ROOT, STREAM, TURNS
from marketplace.log.inboxes import METER_INBOX, SERVICE_REPLIES, SUBSCRIBER_INBOX, render_inbox_prefix

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
        f"{SERVICE_REPLIES}.>",
        f"$JS.API.CONSUMER.DELETE.{STREAM}.*",
        *_READS,
    ),
    SUBSCRIBER: _READS,
    METER: (METERS,),
}
"""Subjects that a user may publish to or send requests on."""

MAY_HEAR: Final = {
    APPLICATION: (METERS, f"{TURNS}.{STREAM}", f"{render_inbox_prefix(APPLICATION)}.>"),
    SUBSCRIBER: (f"{SUBSCRIBER_INBOX}.>",),
    METER: (f"{METER_INBOX}.>",),
}
"""Subjects that a user may subscribe to. The log's own subjects are not among them: a message published there is not
an event until the stream has stored it, and its reply subject would reveal the inbox of its sender."""

EXPORTS: Final = (
    METERS,
    f"$JS.API.CONSUMER.CREATE.{STREAM}.>",
    f"$JS.API.CONSUMER.DELETE.{STREAM}.*",
    f"$JS.API.CONSUMER.INFO.{STREAM}.*",
    f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.*",
)
"""Services of the log's account that other accounts of the same configuration may import, as a whole or in part."""
STREAMED_EXPORTS: Final = frozenset({f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.*"})
"""Those that answer one request with several messages."""
