"""NATS names: one stream, and one literal subject per aggregate."""

STREAM = "MARKETPLACE"
ROOT = "marketplace"
ALL = f"{ROOT}.>"
TURNS = "turns"
"""The subject on which processes of the application ask one another for a turn, followed by the stream's name."""
LOG_ID = "log_00000000000000000000000000"
"""The log itself, as the aggregate of the events about it."""


def render_subject(aggregate: str, id: str) -> str:  # noqa: A002 - the field's word
    """Return the subject that holds every event of one aggregate, for example ``marketplace.order.ord_01…``."""
    return f"{ROOT}.{aggregate}.{id}"


def parse_subject(subject: str) -> tuple[str, str]:
    """Return aggregate and id of a subject.

    Raises:
        ValueError: The subject is not ``marketplace.<aggregate>.<id>``.
    """
    parts = subject.split(".")
    if len(parts) != 3 or parts[0] != ROOT:  # noqa: PLR2004
        raise ValueError(f"{subject!r} is not {ROOT}.<aggregate>.<id>")
    return parts[1], parts[2]


LOG_SUBJECT = render_subject("log", LOG_ID)
"""What operators state of damaged events, of empty positions and of losses: read it before everything else."""
EMPTY_SUBJECT = render_subject("log", "empty")
"""A message here holds the place of an empty position, in a log that was restored from an archive. It is no event."""
