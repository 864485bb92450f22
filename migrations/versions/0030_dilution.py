"""Keep the limit that an issuer sets for its instruments."""

from alembic import op

from migrations.columns import numeric

revision: str = "0030"
down_revision: str | None = "0029"


def upgrade() -> None:
    """Add the columns."""
    for name in ("dilution_max", "dilution_valuation_usd"):
        op.add_column("issuers_v1", numeric(name, null=True))


def downgrade() -> None:
    """Drop them."""
    for name in ("dilution_valuation_usd", "dilution_max"):
        op.drop_column("issuers_v1", name)
