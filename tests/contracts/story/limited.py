"""What both sides' meters may count of a grant, told as it changes."""

from datetime import datetime

from events.usage import SoldNodes, UsageLimited
from tests.contracts.story.identifiers import name


def limited(
    grant_id: str, usage_id: str, end: datetime, *resold: SoldNodes, start: datetime | None = None
) -> tuple[UsageLimited, UsageLimited]:
    """Return the events in the records of both sides."""
    startup_id = name("usg", f"startup of {grant_id}")
    return (
        UsageLimited(usage_id=usage_id, grant_id=grant_id, end=end, start=start, resold=resold),
        UsageLimited(usage_id=startup_id, grant_id=grant_id, end=end, start=start, resold=resold, meter="startup"),
    )
