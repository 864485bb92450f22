"""Views of parties."""

from datetime import datetime

import msgspec

from events.types import Role, Stage


class PartyView(msgspec.Struct, frozen=True, kw_only=True):
    """A party as it is now; `status` is ``registered``, ``cleared`` or ``suspended``.

    `roles_requested` are those that it asked for and the platform has not decided; `stage` is None where the platform
    recorded none.
    """

    party_id: str
    name: str
    roles: tuple[Role, ...]
    roles_requested: tuple[Role, ...]
    jurisdiction: str
    sector: str | None
    stage: Stage | None
    status: str
    reason: str | None
    checks: tuple[str, ...]
    registered_at: datetime
    last_sequence: int
