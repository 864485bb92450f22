"""Create the second tables of accounts: entries say what they are for, when recorded and when it occurred."""

import importlib

from alembic import op

from migrations.columns import bigint, flag, integer, key, numeric, text, timestamp

revision: str = "0016"
down_revision: str | None = "0015"
_FIRST = importlib.import_module("migrations.versions.0011_accounts")


def _create_accounts_v2() -> None:
    op.create_table(
        "accounts_v2",
        text("account_id"),
        text("party_id"),
        text("unit"),
        timestamp("opened_at"),
        timestamp("closed_at", null=True),
        bigint("last_sequence"),
        key("accounts_v2", "account_id"),
    )
    op.create_index("ix_accounts_v2_party", "accounts_v2", ["party_id", "account_id"])


def _create_entries_v2() -> None:
    op.create_table(
        "entries_v2",
        bigint("sequence"),
        integer("line"),
        text("account"),
        text("party_id", null=True),
        text("unit"),
        numeric("amount"),
        text("tag"),
        text("cause", null=True),
        timestamp("recorded_at"),
        timestamp("occurred_at"),
        key("entries_v2", "sequence", "line"),
    )
    op.create_index("ix_entries_v2_account", "entries_v2", ["account", "sequence"])
    op.create_index("ix_entries_v2_party", "entries_v2", ["party_id", "sequence"])


def _create_balances_v2() -> None:
    op.create_table(
        "balances_v2",
        text("account"),
        text("party_id", null=True),
        text("unit"),
        numeric("amount"),
        bigint("last_sequence"),
        key("balances_v2", "account"),
    )
    op.create_index("ix_balances_v2_party", "balances_v2", ["party_id", "account"])


def _create_posting_subjects_v2() -> None:
    op.create_table(
        "posting_subjects_v2",
        text("id"),
        text("unit"),
        text("party_id"),
        text("source"),
        text("source_party_id"),
        numeric("open"),
        numeric("delivered"),
        flag("closed"),
        bigint("last_sequence"),
        key("posting_subjects_v2", "id"),
    )


def _forget(version: int) -> None:
    """Let a version of the projection begin at the first event, should its tables ever be there again."""
    op.execute(f"DELETE FROM projection_positions WHERE name = 'accounts' AND version = {version}")  # noqa: S608


def upgrade() -> None:
    """Create them, and drop the first ones, which no release reads."""
    _create_accounts_v2()
    _create_entries_v2()
    _create_balances_v2()
    _create_posting_subjects_v2()
    _FIRST.downgrade()
    _forget(1)


def downgrade() -> None:
    """Drop what was created, and create the first ones again, empty."""
    _FIRST.upgrade()
    for table in ("posting_subjects_v2", "balances_v2", "entries_v2", "accounts_v2"):
        op.drop_table(table)
    _forget(2)
