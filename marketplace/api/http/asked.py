"""The answer of commands that wait for a second person of the party."""

from litestar import Response

from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.commands import Command
from marketplace.application.billing.approvals import find_approval
from marketplace.core.ids import rename_id
from marketplace.execution.handler import Receipt


async def answer_asked(command: Command, receipt: Receipt, party_id: str | None) -> Response[ReceiptBody] | None:
    """Return the answer of a command that waits for a second person of a party; None if it was done at once."""
    if party_id is None:
        return None
    account_id = rename_id("acc", party_id)
    approval_id = await find_approval(command.handler, command.context, account_id)
    if approval_id is None:
        return None
    return command.answer_proposed(receipt, approval_id, f"/v1/accounts/{account_id}/approvals")
