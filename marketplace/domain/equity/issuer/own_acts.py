"""What a company does to its shares by its own choice, not because an instrument causes it."""

from typing import Final

from marketplace.domain.equity.issuer.commands import IssuerCommand
from marketplace.domain.equity.issuer.rights_commands import (
    CancelOption,
    GrantOption,
    IssueWarrant,
    PromiseOption,
    WithdrawPromise,
)
from marketplace.domain.equity.issuer.stock_commands import (
    AdjustStockPlan,
    CreateStockClass,
    ExerciseFirstRefusal,
    IssueStock,
    RepurchaseStock,
    SplitStock,
)

OWN_ACTS: Final = (
    AdjustStockPlan,
    CancelOption,
    CreateStockClass,
    ExerciseFirstRefusal,
    GrantOption,
    IssueStock,
    IssueWarrant,
    PromiseOption,
    RepurchaseStock,
    SplitStock,
    WithdrawPromise,
)
"""Its commands, with or without the agreement of others. `is_own_act` says when they are not its own."""


def is_own_act(command: IssuerCommand) -> bool:
    """Return whether a company changes its shares by its own choice: no instrument causes the act, and no holder."""
    match command:
        case IssueStock() | IssueWarrant() | RepurchaseStock():
            return command.cause is None
        case ExerciseFirstRefusal():
            return command.holder_id is None  # the company buys the offered stock itself
        case _:
            return isinstance(command, OWN_ACTS)
