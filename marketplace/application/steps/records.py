"""What no other event says of a command: which readings of a report were not taken, or that it took effect at all."""

from collections.abc import Sequence

from events.command import ReadingNotTaken
from marketplace.core.errors import Refusal
from marketplace.domain.command import COMMAND
from marketplace.domain.metering.usage import Answer
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


def list_not_taken(answers: Sequence[Answer]) -> tuple[ReadingNotTaken, ...]:
    """Return the readings that were not accepted, as a record keeps them."""
    return tuple(
        ReadingNotTaken(
            place=place,
            reading_id=answer.reading_id,
            outcome=answer.outcome,
            code=answer.code,
            message=answer.message,
        )
        for place, answer in enumerate(answers)
        if answer.outcome != "accepted"
    )


def restore_answers(reading_ids: Sequence[str], receipt: Receipt) -> list[Answer]:
    """Return the answers of a report that is repeated: accepted, but for what was not taken the first time."""
    not_taken = {
        said.place: Answer(said.reading_id, said.outcome, said.code, said.message) for said in receipt.not_taken
    }
    return [not_taken.get(place) or Answer(name, "accepted") for place, name in enumerate(reading_ids)]


async def record_rejections(
    handler: Handler, context: Context, reading_ids: Sequence[str], refusal: Refusal
) -> tuple[Receipt, list[Answer]]:
    """Answer every reading of a report with the refusal of the whole, and record that.

    A report without a key cannot come again, and leaves no record.
    """
    answers = [Answer(reading_id, "rejected", refusal.code, refusal.message) for reading_id in reading_ids]
    command_id, not_taken = context.command_id, list_not_taken(answers)
    if not context.recorded:
        return Receipt(id=command_id, command_id=command_id, sequence=0, version=0, not_taken=not_taken), answers

    async def work(unit: UnitOfWork) -> None:
        unit.not_taken = not_taken

    receipt = await handler.run(context, COMMAND, command_id, work, new=True)
    return receipt, restore_answers(reading_ids, receipt) if receipt.repeated else answers


async def record_operation(handler: Handler, context: Context) -> Receipt:
    """Record a command whose effect is outside the log; it is repeated without harm.

    Raises:
        Refusal: ``idempotency_key_reused``.
    """

    async def work(unit: UnitOfWork) -> None:
        """Decide nothing: the record says that there was such a command."""

    return await handler.run(context, COMMAND, context.command_id, work, new=True)
