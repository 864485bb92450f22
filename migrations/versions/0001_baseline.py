"""Create every table of the first release."""

import sqlalchemy as sa
from alembic import op

from migrations.columns import bigint, binary, day, flag, integer, jsonb, key, numeric, text, timestamp

revision: str = "0001"
down_revision: str | None = None


def _create_projection_positions() -> None:
    op.create_table(
        "projection_positions",
        text("name"),
        bigint("version"),
        flag("live"),
        bigint("position"),
        bigint("epoch"),
        bigint("target", null=True),
        text("fingerprint"),
        bigint("stopped_at", null=True),
        text("stopped_because", null=True),
        timestamp("updated_at"),
        key("projection_positions", "name", "version", "live"),
    )


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        text("key_id"),
        text("party_id", null=True),
        text("name"),
        jsonb("scopes"),
        binary("hmac"),
        timestamp("created_at"),
        timestamp("expires_at", null=True),
        timestamp("suspended_at", null=True),
        timestamp("revoked_at", null=True),
        key("api_keys", "key_id"),
    )
    op.create_index("ix_api_keys_party", "api_keys", ["party_id", "key_id"])


def _create_api_key_changes() -> None:
    op.create_table(
        "api_key_changes",
        text("command_id"),
        text("key_id"),
        text("change"),
        text("reason"),
        text("actor"),
        timestamp("at"),
        key("api_key_changes", "command_id"),
    )


def _create_snapshots() -> None:
    op.create_table(
        "snapshots",
        text("subject"),
        text("fingerprint"),
        bigint("sequence"),
        text("hash"),
        binary("content"),
        key("snapshots", "subject"),
    )


def _create_log_seen() -> None:
    op.create_table(
        "log_seen",
        text("stream"),
        text("log_id"),
        bigint("sequence"),
        text("hash"),
        timestamp("seen_at"),
        key("log_seen", "stream"),
    )


def _create_stuck_tasks() -> None:
    op.create_table(
        "stuck_tasks",
        text("worker"),
        text("task"),
        text("subject"),
        text("code"),
        text("reason"),
        timestamp("reported_at"),
        key("stuck_tasks", "worker", "task", "subject"),
    )


def _create_parties() -> None:
    op.create_table(
        "parties_v1",
        text("party_id"),
        text("name"),
        jsonb("roles"),
        text("jurisdiction"),
        text("sector", null=True),
        text("status"),
        text("reason", null=True),
        jsonb("checks"),
        timestamp("registered_at"),
        bigint("last_sequence"),
        key("parties_v1", "party_id"),
    )


def _create_sites() -> None:
    op.create_table(
        "sites_v1",
        text("site_id"),
        text("provider_id"),
        text("name"),
        text("region"),
        text("jurisdiction"),
        text("status"),
        bigint("power_contracted_kw"),
        bigint("power_energised_kw"),
        numeric("power_usage_effectiveness"),
        numeric("renewable_share"),
        text("former_use", null=True),
        timestamp("ready_at", null=True),
        text("reason", null=True),
        bigint("last_sequence"),
        key("sites_v1", "site_id"),
    )
    op.create_index("ix_sites_v1_provider", "sites_v1", ["provider_id", "site_id"])


def _create_pools() -> None:
    op.create_table(
        "pools_v1",
        text("pool_id"),
        text("provider_id"),
        text("site_id"),
        text("region"),
        text("gpu_class"),
        text("interconnect"),
        bigint("gpus_per_node"),
        bigint("nodes"),
        bigint("power_per_node_kw"),
        jsonb("service", null=True),
        timestamp("closes_at", null=True),
        bigint("last_sequence"),
        key("pools_v1", "pool_id"),
    )
    op.create_index("ix_pools_v1_class", "pools_v1", ["gpu_class", "pool_id"])
    op.create_index("ix_pools_v1_provider", "pools_v1", ["provider_id", "pool_id"])


def _create_lots() -> None:
    op.create_table(
        "lots_v1",
        text("lot_id"),
        text("pool_id"),
        text("provider_id"),
        text("status"),
        bigint("nodes"),
        timestamp("start"),
        timestamp("end"),
        numeric("ask_usd_per_gpu_hour"),
        bigint("nodes_min"),
        bigint("duration_hours_min"),
        jsonb("mandate_ids"),
        jsonb("further_asks"),
        jsonb("service", null=True),
        text("reason", null=True),
        timestamp("listed_at"),
        text("grant_id", null=True),
        numeric("ask_floor_usd_per_gpu_hour"),
        bigint("last_sequence"),
        key("lots_v1", "lot_id"),
    )
    op.create_index("ix_lots_v1_pool", "lots_v1", ["pool_id", "lot_id"])
    op.create_index("ix_lots_v1_provider", "lots_v1", ["provider_id", "lot_id"])


def _create_mandates() -> None:
    op.create_table(
        "mandates_v1",
        text("mandate_id"),
        text("holder_id"),
        text("funding"),
        jsonb("terms"),
        text("status"),
        numeric("held_usd"),
        numeric("captured_usd"),
        text("reason", null=True),
        timestamp("granted_at"),
        bigint("last_sequence"),
        key("mandates_v1", "mandate_id"),
    )
    op.create_index("ix_mandates_v1_holder", "mandates_v1", ["holder_id", "mandate_id"])


def _create_mandate_holds() -> None:
    op.create_table(
        "mandate_holds_v1",
        text("mandate_id"),
        text("hold_id"),
        text("order_id"),
        text("issuer_id"),
        text("grant_id", null=True),
        numeric("held_usd"),
        numeric("captured_usd"),
        bigint("last_sequence"),
        key("mandate_holds_v1", "mandate_id", "hold_id"),
    )
    op.create_index("ix_mandate_holds_v1_issuer", "mandate_holds_v1", ["mandate_id", "issuer_id"])


def _create_orders() -> None:
    op.create_table(
        "orders_v1",
        text("order_id"),
        text("startup_id"),
        text("issuer_id"),
        text("account_id"),
        text("hold_id"),
        text("status"),
        jsonb("terms"),
        timestamp("ends_at"),
        numeric("cash_hold_usd"),
        jsonb("budget_holds"),
        text("auction_id", null=True),
        text("grant_id", null=True),
        jsonb("reasons", null=True),
        numeric("price_to_win_usd_per_gpu_hour", null=True),
        text("cancel_reason", null=True),
        timestamp("placed_at"),
        bigint("last_sequence"),
        key("orders_v1", "order_id"),
    )
    op.create_index("ix_orders_v1_auction", "orders_v1", ["auction_id", "order_id"])
    op.create_index("ix_orders_v1_startup", "orders_v1", ["startup_id", "order_id"])
    op.create_index("ix_orders_v1_status", "orders_v1", ["status", "order_id"])


def _create_order_history() -> None:
    op.create_table(
        "order_history_v1",
        text("order_id"),
        bigint("sequence"),
        text("status"),
        jsonb("terms", null=True),
        timestamp("occurred_at"),
        key("order_history_v1", "order_id", "sequence"),
    )


def _create_quotes() -> None:
    op.create_table(
        "quotes_v1",
        text("quote_id"),
        text("startup_id"),
        text("pool_id"),
        jsonb("terms"),
        jsonb("match"),
        numeric("cash_hold_usd"),
        text("status"),
        text("order_id", null=True),
        text("reason", null=True),
        timestamp("expires_at"),
        timestamp("held_at"),
        bigint("last_sequence"),
        key("quotes_v1", "quote_id"),
    )
    op.create_index("ix_quotes_v1_startup", "quotes_v1", ["startup_id", "quote_id"])
    op.create_index("ix_quotes_v1_status", "quotes_v1", ["status", "expires_at"])


def _create_auctions() -> None:
    op.create_table(
        "auctions_v1",
        text("auction_id"),
        text("status"),
        text("phase"),
        timestamp("indicative_at", null=True),
        timestamp("no_cancel_at", null=True),
        jsonb("indicative_prices", null=True),
        timestamp("locks_at"),
        timestamp("horizon_start"),
        bigint("period_hours"),
        bigint("periods"),
        bigint("seed"),
        text("book_hash", null=True),
        bigint("book_orders", null=True),
        bigint("deferred", null=True),
        bigint("locked_sequence", null=True),
        jsonb("certificate", null=True),
        bigint("matched", null=True),
        bigint("unmatched", null=True),
        bigint("impossible", null=True),
        text("reason", null=True),
        bigint("attempts"),
        timestamp("opened_at"),
        timestamp("cleared_at", null=True),
        bigint("last_sequence"),
        key("auctions_v1", "auction_id"),
    )
    op.create_index("ix_auctions_v1_status", "auctions_v1", ["status", "auction_id"])


def _create_prices() -> None:
    op.create_table(
        "prices_v1",
        text("pool_id"),
        timestamp("start"),
        timestamp("end"),
        text("auction_id"),
        bigint("from_period"),
        numeric("price_usd_per_gpu_hour"),
        timestamp("cleared_at"),
        bigint("last_sequence"),
        key("prices_v1", "pool_id", "auction_id", "from_period"),
    )
    op.create_index("ix_prices_v1_auction", "prices_v1", ["auction_id", "pool_id", "from_period"])
    op.create_index("ix_prices_v1_span", "prices_v1", ["pool_id", "start"])


def _create_decisions() -> None:
    op.create_table(
        "decisions_v1",
        text("auction_id"),
        text("order_id"),
        jsonb("match", null=True),
        jsonb("reasons"),
        numeric("price_to_win_usd_per_gpu_hour", null=True),
        jsonb("price_to_win_range", null=True),
        numeric("regret_usd"),
        numeric("total_usd", null=True),
        jsonb("second_best", null=True),
        bigint("last_sequence"),
        key("decisions_v1", "auction_id", "order_id"),
    )
    op.create_index("ix_decisions_v1_order", "decisions_v1", ["order_id", "auction_id"])


def _create_capacity_offers() -> None:
    op.create_table(
        "capacity_offers_v2",
        text("pool_id"),
        text("lot_id"),
        bigint("sequence"),
        bigint("nodes", null=True),
        timestamp("start", null=True),
        timestamp("end", null=True),
        text("grant_id", null=True),
        timestamp("occurred_at"),
        key("capacity_offers_v2", "pool_id", "lot_id", "sequence"),
    )


def _create_reservations() -> None:
    op.create_table(
        "reservations_v2",
        text("pool_id"),
        text("grant_id"),
        bigint("sequence"),
        bigint("line"),
        text("lot_id"),
        bigint("nodes"),
        timestamp("start"),
        timestamp("end"),
        text("resale_lot_id", null=True),
        flag("held"),
        timestamp("occurred_at"),
        key("reservations_v2", "pool_id", "grant_id", "sequence", "line"),
    )
    op.create_index("ix_reservations_v2_lot", "reservations_v2", ["lot_id"])
    op.create_index("ix_reservations_v2_resale_lot", "reservations_v2", ["resale_lot_id"])


def _create_releases() -> None:
    op.create_table(
        "releases_v2",
        text("pool_id"),
        text("grant_id"),
        bigint("sequence"),
        timestamp("at", null=True),
        timestamp("occurred_at"),
        key("releases_v2", "pool_id", "grant_id", "sequence"),
    )


def _create_outages() -> None:
    op.create_table(
        "outages_v2",
        text("pool_id"),
        bigint("sequence"),
        text("incident_id"),
        bigint("nodes"),
        timestamp("at"),
        timestamp("occurred_at"),
        key("outages_v2", "pool_id", "sequence"),
    )


def _create_lot_terms() -> None:
    op.create_table(
        "lot_terms_v2",
        text("lot_id"),
        bigint("sequence"),
        text("pool_id", null=True),
        bigint("nodes", null=True),
        text("status", null=True),
        timestamp("start", null=True),
        timestamp("end", null=True),
        numeric("ask_usd_per_gpu_hour", null=True),
        jsonb("further_asks", null=True),
        timestamp("occurred_at"),
        key("lot_terms_v2", "lot_id", "sequence"),
    )


def _create_grants() -> None:
    op.create_table(
        "grants_v1",
        text("grant_id"),
        text("order_id"),
        text("auction_id", null=True),
        text("startup_id"),
        text("provider_id"),
        text("holder_id", null=True),
        text("pool_id"),
        text("gpu_class"),
        bigint("nodes"),
        bigint("gpus_per_node"),
        timestamp("start"),
        timestamp("end"),
        jsonb("lots"),
        text("price_usd_per_gpu_hour"),
        numeric("value_usd_per_gpu_hour"),
        numeric("cash_usd_per_gpu_hour"),
        text("startup_account_id"),
        text("provider_account_id"),
        text("hold_id"),
        numeric("cash_commitment_usd"),
        jsonb("equity", null=True),
        jsonb("resale", null=True),
        jsonb("resold"),
        jsonb("service_lines"),
        jsonb("service", null=True),
        text("status"),
        bigint("nodes_available"),
        bigint("priority"),
        text("reason", null=True),
        bigint("gpu_seconds_accepted", null=True),
        timestamp("ended_at", null=True),
        timestamp("issued_at"),
        bigint("last_sequence"),
        key("grants_v1", "grant_id"),
    )
    op.create_index("ix_grants_v1_holder", "grants_v1", ["holder_id", "grant_id"])
    op.create_index("ix_grants_v1_provider", "grants_v1", ["provider_id", "grant_id"])
    op.create_index("ix_grants_v1_startup", "grants_v1", ["startup_id", "grant_id"])


def _create_grant_history() -> None:
    op.create_table(
        "grant_history_v1",
        text("grant_id"),
        bigint("sequence"),
        text("status"),
        text("pool_id"),
        text("startup_id"),
        bigint("nodes_available"),
        text("reason", null=True),
        timestamp("occurred_at"),
        key("grant_history_v1", "grant_id", "sequence"),
    )


def _create_fills() -> None:
    op.create_table(
        "fills_v1",
        text("grant_id"),
        text("gpu_class"),
        text("pool_id"),
        text("startup_id"),
        day("day"),
        bigint("gpu_hours"),
        numeric("paid_usd"),
        text("price_usd_per_gpu_hour"),
        timestamp("filled_at"),
        bigint("last_sequence"),
        key("fills_v1", "grant_id"),
    )
    op.create_index("ix_fills_v1_class", "fills_v1", ["gpu_class", "day"])


def _create_list_prices() -> None:
    op.create_table(
        "list_prices_v1",
        text("gpu_class"),
        text("provider"),
        text("product"),
        text("region"),
        day("listed_on"),
        numeric("usd_per_gpu_hour"),
        text("source"),
        text("pricelist_id"),
        bigint("last_sequence"),
        key("list_prices_v1", "gpu_class", "provider", "product", "region", "listed_on"),
    )


def _create_curves() -> None:
    op.create_table(
        "curves_v1",
        text("auction_id"),
        text("gpu_class"),
        text("side"),
        numeric("price_usd_per_gpu_hour"),
        bigint("gpu_hours"),
        bigint("count"),
        timestamp("locked_at"),
        bigint("last_sequence"),
        key("curves_v1", "auction_id", "gpu_class", "side", "price_usd_per_gpu_hour"),
    )
    op.create_index("ix_curves_v1_class", "curves_v1", ["gpu_class", "locked_at"])


def _create_standings() -> None:
    op.create_table(
        "standings_v1",
        text("provider_id"),
        bigint("gpu_seconds_due"),
        bigint("gpu_seconds_lost"),
        bigint("grants_completed"),
        bigint("grants_broken"),
        bigint("gpu_seconds_accepted"),
        bigint("gpu_seconds_conceded"),
        bigint("last_sequence"),
        key("standings_v1", "provider_id"),
    )


def _create_standing_courses() -> None:
    op.create_table(
        "standing_courses_v1",
        text("grant_id"),
        text("provider_id"),
        bigint("gpus_per_node"),
        bigint("nodes"),
        bigint("working"),
        timestamp("counted_until"),
        flag("running"),
        jsonb("resold"),
        timestamp("stated_until", null=True),
        bigint("due_since"),
        bigint("lost_since"),
        bigint("last_sequence"),
        key("standing_courses_v1", "grant_id"),
    )


def _create_readings() -> None:
    op.create_table(
        "readings_v1",
        text("grant_id"),
        text("meter"),
        text("source"),
        text("reading_id"),
        text("usage_id"),
        bigint("reported_sequence"),
        timestamp("start"),
        timestamp("end"),
        bigint("nodes"),
        bigint("gpus", null=True),
        bigint("gpu_seconds"),
        jsonb("devices"),
        jsonb("evidence", null=True),
        bigint("corrections"),
        flag("voided"),
        text("reason", null=True),
        bigint("last_sequence"),
        key("readings_v1", "grant_id", "meter", "source", "reading_id"),
    )
    op.create_index(
        "ix_readings_v1_devices",
        "readings_v1",
        ["devices"],
        postgresql_using="gin",
        postgresql_where=sa.text("devices <> '[]'::jsonb"),
    )
    op.create_index("ix_readings_v1_grant", "readings_v1", ["grant_id", "reported_sequence"])
    op.create_index("ix_readings_v1_start", "readings_v1", ["grant_id", "start"])


def _create_evidence_samples() -> None:
    op.create_table(
        "evidence_samples_v1",
        text("grant_id"),
        text("meter"),
        text("source"),
        text("device"),
        timestamp("at"),
        text("usage_id"),
        numeric("gpu_utilisation", null=True),
        numeric("energy_kwh", null=True),
        bigint("xid_error", null=True),
        bigint("last_sequence"),
        key("evidence_samples_v1", "grant_id", "meter", "source", "device", "at"),
    )


def _create_spreads() -> None:
    op.create_table(
        "spreads_v1",
        text("usage_id"),
        text("source"),
        text("reading_id"),
        text("startup_id"),
        text("provider_id"),
        text("gpu_class"),
        bigint("reported_sequence"),
        timestamp("start"),
        timestamp("end"),
        bigint("gpus"),
        jsonb("ranks"),
        jsonb("parts"),
        bigint("corrections"),
        flag("voided"),
        text("reason", null=True),
        bigint("last_sequence"),
        key("spreads_v1", "usage_id", "source", "reading_id"),
    )
    op.create_index("ix_spreads_v1_provider", "spreads_v1", ["provider_id", "reported_sequence"])
    op.create_index("ix_spreads_v1_startup", "spreads_v1", ["startup_id", "reported_sequence"])


def _create_service_lines() -> None:
    op.create_table(
        "service_lines_v1",
        text("service_line_id"),
        text("grant_id"),
        text("startup_id"),
        text("provider_id"),
        text("holder_id", null=True),
        text("name"),
        numeric("price_usd_per_hour"),
        numeric("hours"),
        text("status"),
        text("declined_by", null=True),
        text("reason", null=True),
        timestamp("approved_at", null=True),
        timestamp("agreed_at", null=True),
        numeric("cash_commitment_usd", null=True),
        jsonb("equity", null=True),
        bigint("last_sequence"),
        key("service_lines_v1", "service_line_id"),
    )
    op.create_index("ix_service_lines_v1_grant", "service_lines_v1", ["grant_id", "service_line_id"])
    op.create_index("ix_service_lines_v1_holder", "service_lines_v1", ["holder_id", "service_line_id"])
    op.create_index("ix_service_lines_v1_provider", "service_lines_v1", ["provider_id", "service_line_id"])
    op.create_index("ix_service_lines_v1_startup", "service_lines_v1", ["startup_id", "service_line_id"])


def _create_hours_readings() -> None:
    op.create_table(
        "hours_readings_v1",
        text("service_line_id"),
        text("source"),
        text("reading_id"),
        bigint("reported_sequence"),
        timestamp("start"),
        timestamp("end"),
        numeric("hours"),
        flag("voided"),
        text("reason", null=True),
        bigint("last_sequence"),
        key("hours_readings_v1", "service_line_id", "source", "reading_id"),
    )


def _create_statements() -> None:
    op.create_table(
        "statements_v1",
        text("statement_id"),
        text("grant_id"),
        text("startup_id"),
        text("provider_id"),
        timestamp("period_start"),
        timestamp("period_end"),
        jsonb("charges_issued"),
        jsonb("charges"),
        text("status"),
        text("accepted_by", null=True),
        bigint("gpu_seconds_claimed", null=True),
        text("service_line_id", null=True),
        numeric("hours_claimed", null=True),
        text("reason", null=True),
        text("disputed_by", null=True),
        bigint("tenant_gpu_seconds", null=True),
        jsonb("adjustment", null=True),
        jsonb("service", null=True),
        jsonb("service_credit", null=True),
        timestamp("accept_until"),
        timestamp("issued_at"),
        timestamp("accepted_at", null=True),
        bigint("last_sequence"),
        key("statements_v1", "statement_id"),
    )
    op.create_index("ix_statements_v1_due", "statements_v1", ["status", "accept_until"])
    op.create_index("ix_statements_v1_grant", "statements_v1", ["grant_id", "statement_id"])
    op.create_index("ix_statements_v1_provider", "statements_v1", ["provider_id", "statement_id"])
    op.create_index("ix_statements_v1_startup", "statements_v1", ["startup_id", "statement_id"])


def _create_accounts() -> None:
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


def _create_entries() -> None:
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


def _create_balances() -> None:
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


def _create_posting_subjects() -> None:
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


def _create_holds() -> None:
    op.create_table(
        "holds_v1",
        text("account_id"),
        text("hold_id"),
        text("party_id"),
        text("purpose"),
        numeric("left_usd"),
        numeric("captured_usd"),
        timestamp("expires_at", null=True),
        flag("expired"),
        timestamp("placed_at"),
        bigint("last_sequence"),
        key("holds_v1", "account_id", "hold_id"),
    )
    op.create_index("ix_holds_v1_party", "holds_v1", ["party_id", "hold_id"])
    op.create_index("ix_holds_v1_purpose", "holds_v1", ["purpose", "hold_id"])


def _create_instruments() -> None:
    op.create_table(
        "instruments_v1",
        text("instrument_id"),
        text("issuer_id"),
        text("holder_id"),
        jsonb("terms"),
        bigint("terms_version"),
        numeric("commitment_usd"),
        text("funding"),
        text("grant_id", null=True),
        text("mandate_id", null=True),
        jsonb("draw", null=True),
        text("status"),
        numeric("principal_usd"),
        numeric("lapsed_usd"),
        numeric("converted_usd"),
        numeric("repaid_usd"),
        numeric("debt_usd"),
        jsonb("conversion", null=True),
        numeric("repayment_usd", null=True),
        day("matured_on", null=True),
        numeric("due_usd", null=True),
        text("reason", null=True),
        timestamp("issued_at"),
        bigint("last_sequence"),
        key("instruments_v1", "instrument_id"),
    )
    op.create_index("ix_instruments_v1_holder", "instruments_v1", ["holder_id", "instrument_id"])
    op.create_index("ix_instruments_v1_issuer", "instruments_v1", ["issuer_id", "instrument_id"])


def _create_principal_movements() -> None:
    op.create_table(
        "principal_movements_v1",
        bigint("sequence"),
        text("instrument_id"),
        text("issuer_id"),
        text("holder_id"),
        text("kind"),
        text("tranche_id", null=True),
        text("statement_id", null=True),
        bigint("terms_version", null=True),
        numeric("amount_usd"),
        numeric("settled_usd"),
        timestamp("occurred_at"),
        key("principal_movements_v1", "sequence"),
    )
    op.create_index("ix_principal_movements_v1_instrument", "principal_movements_v1", ["instrument_id", "sequence"])
    op.create_index("ix_principal_movements_v1_issuer", "principal_movements_v1", ["issuer_id", "sequence"])


def _create_issuers() -> None:
    op.create_table(
        "issuers_v1",
        text("issuer_id"),
        text("party_id"),
        text("legal_name"),
        text("jurisdiction"),
        day("formed_on"),
        text("status"),
        bigint("plan_shares_reserved"),
        numeric("dilution_max", null=True),
        numeric("dilution_valuation_usd", null=True),
        bigint("last_sequence"),
        key("issuers_v1", "issuer_id"),
    )
    op.create_index("ix_issuers_v1_party", "issuers_v1", ["party_id", "issuer_id"])


def _create_issuer_imports() -> None:
    op.create_table(
        "issuer_imports_v1",
        text("issuer_id"),
        text("source"),
        text("package_hash"),
        timestamp("imported_at"),
        bigint("last_sequence"),
        key("issuer_imports_v1", "issuer_id"),
    )


def _create_stakeholders() -> None:
    op.create_table(
        "stakeholders_v1",
        text("issuer_id"),
        text("holder_id"),
        text("name"),
        text("kind"),
        bigint("last_sequence"),
        key("stakeholders_v1", "issuer_id", "holder_id"),
    )
    op.create_index("ix_stakeholders_v1_holder", "stakeholders_v1", ["holder_id", "issuer_id"])


def _create_stock_classes() -> None:
    op.create_table(
        "stock_classes_v1",
        text("issuer_id"),
        text("class_id"),
        text("kind"),
        bigint("shares_authorised"),
        text("price_per_share_usd", null=True),
        numeric("liquidation_multiple", null=True),
        bigint("seniority"),
        text("conversion_price_usd", null=True),
        text("participation"),
        numeric("participation_cap_multiple", null=True),
        text("price_protection", null=True),
        text("protection_basis", null=True),
        flag("first_refusal"),
        bigint("last_sequence"),
        key("stock_classes_v1", "issuer_id", "class_id"),
    )


def _create_stock_offers() -> None:
    op.create_table(
        "stock_offers_v1",
        text("transfer_id"),
        text("issuer_id"),
        text("holder_id"),
        text("holder_id_after"),
        text("class_id"),
        bigint("shares"),
        numeric("price_usd_per_share"),
        timestamp("decide_until"),
        text("status"),
        bigint("last_sequence"),
        key("stock_offers_v1", "transfer_id"),
    )
    op.create_index("ix_stock_offers_v1_issuer", "stock_offers_v1", ["issuer_id", "transfer_id"])


def _create_holdings() -> None:
    op.create_table(
        "holdings_v1",
        text("issuer_id"),
        text("kind"),
        text("holder_id"),
        text("security"),
        text("class_id", null=True),
        bigint("shares"),
        text("exercise_price_usd", null=True),
        timestamp("expires_at", null=True),
        bigint("last_sequence"),
        key("holdings_v1", "issuer_id", "kind", "holder_id", "security"),
    )
    op.create_index("ix_holdings_v1_holder", "holdings_v1", ["holder_id", "issuer_id"])


def _create_share_entries() -> None:
    op.create_table(
        "share_entries_v1",
        bigint("sequence"),
        integer("line"),
        text("issuer_id"),
        text("kind"),
        text("holder_id"),
        text("security"),
        text("class_id", null=True),
        bigint("shares"),
        timestamp("occurred_at"),
        key("share_entries_v1", "sequence", "line"),
    )
    op.create_index("ix_share_entries_v1_issuer", "share_entries_v1", ["issuer_id", "sequence"])


def _create_financings() -> None:
    op.create_table(
        "financings_v1",
        text("financing_id"),
        text("issuer_id"),
        text("name"),
        text("status"),
        jsonb("terms"),
        jsonb("pricing", null=True),
        bigint("priced_sequence", null=True),
        jsonb("approval", null=True),
        text("reason", null=True),
        timestamp("opened_at"),
        timestamp("closed_at", null=True),
        bigint("last_sequence"),
        key("financings_v1", "financing_id"),
    )
    op.create_index("ix_financings_v1_issuer", "financings_v1", ["issuer_id", "financing_id"])


def _create_liquidity_events() -> None:
    op.create_table(
        "liquidity_events_v1",
        text("liquidity_id"),
        text("issuer_id"),
        text("kind"),
        text("status"),
        jsonb("waterfall"),
        numeric("paid_usd", null=True),
        timestamp("declared_at"),
        timestamp("paid_at", null=True),
        bigint("last_sequence"),
        key("liquidity_events_v1", "liquidity_id"),
    )
    op.create_index("ix_liquidity_events_v1_issuer", "liquidity_events_v1", ["issuer_id", "liquidity_id"])


def _create_valuations() -> None:
    op.create_table(
        "valuations_v1",
        text("issuer_id"),
        bigint("recorded_sequence"),
        numeric("price_usd_per_share"),
        text("method"),
        day("effective_on"),
        timestamp("recorded_at"),
        bigint("last_sequence"),
        key("valuations_v1", "issuer_id", "recorded_sequence"),
    )


def _create_event_index() -> None:
    op.create_table(
        "event_index_v1",
        bigint("sequence"),
        text("aggregate"),
        text("aggregate_id"),
        text("tag"),
        text("command_id"),
        text("fingerprint"),
        timestamp("occurred_at"),
        key("event_index_v1", "sequence"),
    )
    op.create_index("ix_event_index_v1_aggregate", "event_index_v1", ["aggregate_id", "sequence"])
    op.create_index("ix_event_index_v1_command", "event_index_v1", ["command_id"])
    op.create_index("ix_event_index_v1_time", "event_index_v1", ["occurred_at"])


def _create_event_parties() -> None:
    op.create_table(
        "event_parties_v1",
        text("party_id"),
        bigint("sequence"),
        key("event_parties_v1", "party_id", "sequence"),
    )


def _create_event_owners() -> None:
    op.create_table(
        "event_owners_v1",
        text("id"),
        jsonb("parties"),
        bigint("last_sequence"),
        key("event_owners_v1", "id"),
    )


_CREATE = (
    _create_projection_positions,
    _create_api_keys,
    _create_api_key_changes,
    _create_snapshots,
    _create_log_seen,
    _create_stuck_tasks,
    _create_parties,
    _create_sites,
    _create_pools,
    _create_lots,
    _create_mandates,
    _create_mandate_holds,
    _create_orders,
    _create_order_history,
    _create_quotes,
    _create_auctions,
    _create_prices,
    _create_decisions,
    _create_capacity_offers,
    _create_reservations,
    _create_releases,
    _create_outages,
    _create_lot_terms,
    _create_grants,
    _create_grant_history,
    _create_fills,
    _create_list_prices,
    _create_curves,
    _create_standings,
    _create_standing_courses,
    _create_readings,
    _create_evidence_samples,
    _create_spreads,
    _create_service_lines,
    _create_hours_readings,
    _create_statements,
    _create_accounts,
    _create_entries,
    _create_balances,
    _create_posting_subjects,
    _create_holds,
    _create_instruments,
    _create_principal_movements,
    _create_issuers,
    _create_issuer_imports,
    _create_stakeholders,
    _create_stock_classes,
    _create_stock_offers,
    _create_holdings,
    _create_share_entries,
    _create_financings,
    _create_liquidity_events,
    _create_valuations,
    _create_event_index,
    _create_event_parties,
    _create_event_owners,
)


def upgrade() -> None:
    """Create them."""
    for create in _CREATE:
        create()


_DROP = (
    "stuck_tasks",
    "log_seen",
    "event_owners_v1",
    "event_parties_v1",
    "event_index_v1",
    "valuations_v1",
    "liquidity_events_v1",
    "financings_v1",
    "share_entries_v1",
    "holdings_v1",
    "stock_offers_v1",
    "stock_classes_v1",
    "stakeholders_v1",
    "issuer_imports_v1",
    "issuers_v1",
    "principal_movements_v1",
    "instruments_v1",
    "holds_v1",
    "posting_subjects_v2",
    "balances_v2",
    "entries_v2",
    "accounts_v2",
    "statements_v1",
    "hours_readings_v1",
    "service_lines_v1",
    "spreads_v1",
    "evidence_samples_v1",
    "readings_v1",
    "standing_courses_v1",
    "standings_v1",
    "curves_v1",
    "list_prices_v1",
    "fills_v1",
    "grant_history_v1",
    "grants_v1",
    "lot_terms_v2",
    "outages_v2",
    "releases_v2",
    "reservations_v2",
    "capacity_offers_v2",
    "decisions_v1",
    "prices_v1",
    "auctions_v1",
    "quotes_v1",
    "order_history_v1",
    "orders_v1",
    "mandate_holds_v1",
    "mandates_v1",
    "lots_v1",
    "pools_v1",
    "sites_v1",
    "parties_v1",
    "snapshots",
    "api_key_changes",
    "api_keys",
    "projection_positions",
)


def downgrade() -> None:
    """Drop them."""
    for table in _DROP:
        op.drop_table(table)
