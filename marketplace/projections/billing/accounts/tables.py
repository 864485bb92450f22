"""Tables of the accounts: entries are the history, balances their sums, subjects the state of the rules."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Boolean, Column, Index, Integer, Select, select

from marketplace.projections.engine.schema import Origin, define, define_history, exact, instant, text, whole


def _sequences(row: Mapping[str, Any]) -> Select[int]:
    return select(entries.c.sequence).where(entries.c.account == row["account"])


accounts: Final = define(
    "accounts",
    text("account_id", key=True),
    text("party_id"),
    text("unit"),
    instant("opened_at"),
    instant("closed_at", null=True),
    exact("limit_usd", null=True),
    exact("order_limit_usd", null=True),
    exact("week_limit_usd", null=True),
    Index("ix_accounts_party", "party_id", "account_id"),
    origin=Origin("account", "account_id"),
)
entries: Final = define_history(
    "entries",
    whole("sequence", key=True),
    Column("line", Integer, primary_key=True, autoincrement=False),
    text("account"),
    text("party_id", null=True),
    text("unit"),
    exact("amount"),
    text("tag"),
    text("cause", null=True),
    text("hold_id", null=True),
    instant("recorded_at"),
    instant("occurred_at"),
    Index("ix_entries_party", "party_id", "sequence"),
    Index("ix_entries_account", "account", "sequence"),
    origin=Origin(),
)
balances: Final = define(
    "balances",
    text("account", key=True),
    text("party_id", null=True),
    text("unit"),
    exact("amount"),
    Index("ix_balances_party", "party_id", "account"),
    origin=Origin(sequences=_sequences),
)
subjects: Final = define(
    "posting_subjects",
    text("id", key=True),
    text("unit"),
    text("party_id"),
    text("source"),
    text("source_party_id"),
    exact("open"),
    exact("unaccepted"),
    Column("closed", Boolean, nullable=False),
    instant("begins_at", null=True),
    Column("passed", Boolean, nullable=False),
    origin=Origin(),
)
