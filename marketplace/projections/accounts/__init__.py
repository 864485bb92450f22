"""Accounts: every entry that the log posts, and every balance, as of any sequence or instant."""

from marketplace.projections.accounts.projection import PROJECTION
from marketplace.projections.accounts.queries import (
    AccountView,
    BalanceView,
    EntryView,
    TrialBalanceView,
    find_account,
    list_accounts,
    list_balances,
    list_entries,
    load_trial_balance,
)

__all__ = [
    "PROJECTION",
    "AccountView",
    "BalanceView",
    "EntryView",
    "TrialBalanceView",
    "find_account",
    "list_accounts",
    "list_balances",
    "list_entries",
    "load_trial_balance",
]
