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
    IssueStock,
    RepurchaseStock,
    SplitStock,
)

OWN_ACTS: Final = (
    AdjustStockPlan,
    CancelOption,
    CreateStockClass,
    GrantOption,
    IssueStock,
    IssueWarrant,
    PromiseOption,
    RepurchaseStock,
    SplitStock,
    WithdrawPromise,
)
"""Its commands, with or without the agreement of others. Some of them may have an instrument as their cause."""


def is_own_act(command: IssuerCommand) -> bool:
    """Return whether a company changes its shares by its own choice: no instrument causes the act."""
    has_cause = isinstance(command, IssueStock | IssueWarrant | RepurchaseStock) and command.cause is not None
    return isinstance(command, OWN_ACTS) and not has_cause
