"""Instants as text, in one form everywhere."""

from datetime import UTC, datetime


def render_instant(at: datetime) -> str:
    """Return an instant in UTC as RFC 3339 writes it: ``2026-01-31T00:00:00Z``.

    An instant that is not in the years 1 to 9999 in UTC is returned with its own offset.
    """
    try:
        return at.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
    except OverflowError:
        return at.isoformat()
