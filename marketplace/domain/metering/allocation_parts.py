"""The parts of an allocated reading: each is a reading in its grant's own record.

Refusals: reading_exists, or the fault of the part, when it is added; part_changed when it is corrected or voided.
"""

from events.usage import AllocationPart, Reading
from marketplace.core.errors import Refusal
from marketplace.domain.metering.usage_commands import Answer, Measurement
from marketplace.domain.metering.usage_record import SECOND, Usage, digest_reading


def measure_part(part: AllocationPart) -> Measurement:
    """Return a part as a meter of its grant would report it."""
    return Measurement(reading_id=part.reading_id, start=part.start, end=part.end, gpus=part.gpus)


def build_part_reading(part: AllocationPart, gpus_per_node: int) -> Reading:
    """Return the reading by which a part counts on its grant."""
    return Reading(
        reading_id=part.reading_id,
        start=part.start,
        end=part.end,
        nodes=-(-part.gpus // gpus_per_node),
        gpu_seconds=part.gpus * ((part.end - part.start) // SECOND),
        gpus=part.gpus,
    )


def require_counted(part: AllocationPart, answer: Answer) -> None:
    """Refuse an allocation if a grant did not accept its part.

    Raises:
        Refusal: The code of the answer, or ``reading_exists``.
    """
    if answer.outcome != "accepted":
        said = answer.message or "it is known already"
        raise Refusal(answer.code or "reading_exists", f"part {part.reading_id} on grant {part.grant_id}: {said}")


def require_unchanged(part: AllocationPart, source: str, usage: Usage, reading: Reading) -> None:
    """Refuse to change an allocation if a part of it was corrected or voided on its grant.

    Raises:
        Refusal: ``part_changed``.
    """
    if usage.find_content(source, part.reading_id) != digest_reading(reading):
        said = f"part {part.reading_id} on grant {part.grant_id} was corrected or voided on its own"
        raise Refusal("part_changed", f"{said}; correct the parts on their grants")
