"""Views of parties."""

from datetime import datetime

import msgspec

from events.types import Role


class PartyView(msgspec.Struct, frozen=True, kw_only=True):
    """A party as it is now; `status` is ``registered``, ``cleared`` or ``suspended``."""

    party_id: str
    name: str
    roles: tuple[Role, ...]
    jurisdiction: str
    sector: str | None
    status: str
    reason: str | None
    checks: tuple[str, ...]
    registered_at: datetime
    last_sequence: int
