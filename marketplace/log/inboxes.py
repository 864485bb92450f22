"""Inbox prefixes: each NATS user receives answers under its own, which no other user may subscribe or publish to."""

import re
from typing import Final
from urllib.parse import urlsplit

_NOT_A_TOKEN: Final = re.compile(r"[^A-Z0-9_-]")
_NO_USER: Final = "app"


def render_inbox_prefix(user: str) -> str:
    """Return a NATS user's inbox prefix: ``_INBOX_`` and its name in capitals."""
    return f"_INBOX_{_NOT_A_TOKEN.sub('_', user.upper())}"


def derive_inbox_prefix(url: str) -> str:
    """Return the inbox prefix of the user in the first of the URLs, which are separated by commas.

    A URL without a user, or with a token instead, has the prefix of the application.
    """
    first = url.split(",", maxsplit=1)[0].strip()
    parts = urlsplit(first if "://" in first else f"nats://{first}")
    user = parts.username if parts.password is not None else None
    return render_inbox_prefix(user or _NO_USER)


METER_INBOX: Final = render_inbox_prefix("meter")
SUBSCRIBER_INBOX: Final = render_inbox_prefix("subscriber")
SERVICE_REPLIES: Final = "_R_"
"""Where the servers expect the answer to a request that came from another account. The names are random."""
