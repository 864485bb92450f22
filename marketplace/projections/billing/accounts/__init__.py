"""Accounts: every entry that the log posts, and every balance, as of any sequence or instant."""

from marketplace.projections.billing.accounts.explain import explain_balance
from marketplace.projections.billing.accounts.projection import PROJECTION
from marketplace.projections.billing.accounts.queries import (
    find_account,
    list_accounts,
    list_balances,
    list_entries,
    list_lines,
    load_sums,
    load_trial_balance,
)
from marketplace.projections.billing.accounts.rendering import render_csv, render_html
from marketplace.projections.billing.accounts.statement import load_account_statement

__all__ = [
    "PROJECTION",
    "explain_balance",
    "find_account",
    "list_accounts",
    "list_balances",
    "list_entries",
    "list_lines",
    "load_account_statement",
    "load_sums",
    "load_trial_balance",
    "render_csv",
    "render_html",
]
