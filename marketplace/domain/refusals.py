"""Refusals that every aggregate words the same way."""

from datetime import datetime

from marketplace.core.errors import Refusal


def refuse_unknown(aggregate: str, id: str) -> Refusal:  # noqa: A002 - the field's word
    """Return the refusal for an id that names nothing: ``<aggregate>_unknown``."""
    return Refusal(f"{aggregate}_unknown", f"there is no {aggregate} {id}; check the id", id=id)


def refuse_exists(aggregate: str, id: str) -> Refusal:  # noqa: A002 - the field's word
    """Return the refusal for creating again, with other content, what exists: ``<aggregate>_exists``."""
    return Refusal(
        f"{aggregate}_exists", f"{aggregate} {id} exists with other content; use a new idempotency key", id=id
    )


def refuse_status(aggregate: str, id: str, status: str, allowed: str) -> Refusal:  # noqa: A002
    """Return the refusal for a command that the status does not allow: ``<aggregate>_<status>``."""
    return Refusal(
        f"{aggregate}_{status}",
        f"{aggregate} {id} is {status}; this needs it to be {allowed}",
        id=id,
        status=status,
        allowed=allowed,
    )


def require_aware(at: datetime, pointer: str) -> None:
    """Refuse an instant without an offset.

    Raises:
        Refusal: ``time_naive``.
    """
    if at.tzinfo is None:
        raise Refusal(
            "time_naive", f"{pointer} is {at.isoformat()} without an offset; state one, such as Z", pointer=pointer
        )
