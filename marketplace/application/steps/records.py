"""Records of commands that no other event shows: rejected readings of a report, and effects outside the log."""

from collections.abc import Sequence

from marketplace.core.errors import Refusal
from marketplace.domain.command import COMMAND
from marketplace.domain.metering.usage_commands import Answer
from marketplace.domain.metering.usage_record import list_not_taken
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


def restore_answers(reading_ids: Sequence[str], receipt: Receipt) -> list[Answer]:
    """Return the original answers of a repeated report, in order: accepted, except those that its receipt states."""
    not_taken = {
        said.place: Answer(said.reading_id, said.outcome, said.code, said.message) for said in receipt.not_taken
    }
    return [not_taken.get(place) or Answer(name, "accepted") for place, name in enumerate(reading_ids)]


async def record_rejections(
    handler: Handler, context: Context, reading_ids: Sequence[str], refusal: Refusal
) -> tuple[Receipt, list[Answer]]:
    """Answer every reading of a report as rejected by the refusal of the whole report, and record the answers.

    A report without an idempotency key is not recorded, because nobody can repeat it.
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
    """Record a command whose effect is outside the log and harmless to repeat.

    Raises:
        Refusal: ``idempotency_key_reused``.
    """

    async def work(unit: UnitOfWork) -> None:
        """Decide nothing. The record alone shows that the command was received."""

    return await handler.run(context, COMMAND, context.command_id, work, new=True)
