"""Create the tables of accounts."""

from alembic import op

from migrations.columns import bigint, flag, integer, key, numeric, text, timestamp

revision: str = "0011"
down_revision: str | None = "0010"


def _create_accounts_v1() -> None:
    op.create_table(
        "accounts_v1",
        text("account_id"),
        text("party_id"),
        text("unit"),
        timestamp("opened_at"),
        bigint("last_sequence"),
        key("accounts_v1", "account_id"),
    )
    op.create_index("ix_accounts_v1_party", "accounts_v1", ["party_id", "account_id"])


def _create_entries_v1() -> None:
    op.create_table(
        "entries_v1",
        bigint("sequence"),
        integer("line"),
        text("account"),
        text("party_id", null=True),
        text("unit"),
        numeric("amount"),
        text("tag"),
        timestamp("occurred_at"),
        key("entries_v1", "sequence", "line"),
    )
    op.create_index("ix_entries_v1_account", "entries_v1", ["account", "sequence"])
    op.create_index("ix_entries_v1_party", "entries_v1", ["party_id", "sequence"])


def _create_balances_v1() -> None:
    op.create_table(
        "balances_v1",
        text("account"),
        text("party_id", null=True),
        text("unit"),
        numeric("amount"),
        bigint("last_sequence"),
        key("balances_v1", "account"),
    )
    op.create_index("ix_balances_v1_party", "balances_v1", ["party_id", "account"])


def _create_posting_subjects_v1() -> None:
    op.create_table(
        "posting_subjects_v1",
        text("id"),
        text("unit"),
        text("party_id"),
        text("source"),
        text("source_party_id"),
        numeric("open"),
        numeric("delivered"),
        flag("closed"),
        bigint("last_sequence"),
        key("posting_subjects_v1", "id"),
    )


def upgrade() -> None:
    """Create them."""
    _create_accounts_v1()
    _create_entries_v1()
    _create_balances_v1()
    _create_posting_subjects_v1()


def downgrade() -> None:
    """Drop what was created."""
    op.drop_table("posting_subjects_v1")
    op.drop_table("balances_v1")
    op.drop_table("entries_v1")
    op.drop_table("accounts_v1")
