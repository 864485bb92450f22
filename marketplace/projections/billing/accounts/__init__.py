"""Accounts: every entry that the log posts, and every balance, as of any sequence or instant."""

from marketplace.projections.billing.accounts.explain import ExplanationView, explain_balance
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
from marketplace.projections.billing.accounts.statement import AccountStatementView, load_account_statement
from marketplace.projections.billing.accounts.views import AccountView, BalanceView, EntryView, TrialBalanceView

__all__ = [
    "PROJECTION",
    "AccountStatementView",
    "AccountView",
    "BalanceView",
    "EntryView",
    "ExplanationView",
    "TrialBalanceView",
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
