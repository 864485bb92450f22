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
        flag("live"),
        bigint("version"),
        bigint("position"),
        bigint("epoch"),
        bigint("target", null=True),
        bigint("stopped_at", null=True),
        text("stopped_because", null=True),
        timestamp("updated_at"),
        key("projection_positions", "name", "live"),
    )


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        text("key_id"),
        text("party_id", null=True),
        text("person", null=True),
        text("named_by", null=True),
        text("issued_by", null=True),
        text("descends_from", null=True),
        text("name"),
        jsonb("scopes"),
        binary("hmac"),
        timestamp("created_at"),
        timestamp("expires_at"),
        timestamp("suspended_at", null=True),
        timestamp("revoked_at", null=True),
        key("api_keys", "key_id"),
    )
    op.create_index("ix_api_keys_party", "api_keys", ["party_id", "key_id"])
    op.create_index("ix_api_keys_issuer", "api_keys", ["issued_by"])
    op.create_index("ix_api_keys_descent", "api_keys", ["descends_from"])


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
        bigint("version"),
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
        "parties",
        text("party_id"),
        text("name"),
        jsonb("roles"),
        jsonb("roles_requested"),
        text("jurisdiction"),
        text("sector", null=True),
        text("stage", null=True),
        text("status"),
        text("reason", null=True),
        jsonb("checks"),
        timestamp("registered_at"),
        bigint("last_sequence"),
        key("parties", "party_id"),
    )
    op.create_index("ix_parties_registered", "parties", ["registered_at", "party_id"])


def _create_sites() -> None:
    op.create_table(
        "sites",
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
        key("sites", "site_id"),
    )
    op.create_index("ix_sites_provider", "sites", ["provider_id", "site_id"])


def _create_pools() -> None:
    op.create_table(
        "pools",
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
        key("pools", "pool_id"),
    )
    op.create_index("ix_pools_class", "pools", ["gpu_class", "pool_id"])
    op.create_index("ix_pools_provider", "pools", ["provider_id", "pool_id"])


def _create_lots() -> None:
    op.create_table(
        "lots",
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
        jsonb("stages", null=True),
        bigint("last_sequence"),
        key("lots", "lot_id"),
    )
    op.create_index("ix_lots_pool", "lots", ["pool_id", "lot_id"])
    op.create_index("ix_lots_provider", "lots", ["provider_id", "lot_id"])
    op.create_index("ix_lots_listed", "lots", ["listed_at", "lot_id"])


def _create_mandates() -> None:
    op.create_table(
        "mandates",
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
        key("mandates", "mandate_id"),
    )
    op.create_index("ix_mandates_holder", "mandates", ["holder_id", "mandate_id"])


def _create_mandate_holds() -> None:
    op.create_table(
        "mandate_holds",
        text("mandate_id"),
        text("hold_id"),
        text("order_id"),
        text("issuer_id"),
        text("grant_id", null=True),
        numeric("held_usd"),
        numeric("captured_usd"),
        text("approval", null=True),
        jsonb("instrument", null=True),
        timestamp("until", null=True),
        jsonb("gpu_classes"),
        numeric("amount_usd_max", null=True),
        bigint("last_sequence"),
        key("mandate_holds", "mandate_id", "hold_id"),
    )
    op.create_index("ix_mandate_holds_issuer", "mandate_holds", ["mandate_id", "issuer_id"])


def _create_orders() -> None:
    op.create_table(
        "orders",
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
        key("orders", "order_id"),
    )
    op.create_index("ix_orders_auction", "orders", ["auction_id", "order_id"])
    op.create_index("ix_orders_startup", "orders", ["startup_id", "order_id"])
    op.create_index("ix_orders_startup_placed", "orders", ["startup_id", "placed_at", "order_id"])
    op.create_index("ix_orders_placed", "orders", ["placed_at", "order_id"])
    op.create_index("ix_orders_status", "orders", ["status", "order_id"])


def _create_order_history() -> None:
    op.create_table(
        "order_history",
        text("order_id"),
        bigint("sequence"),
        text("status"),
        jsonb("terms", null=True),
        timestamp("occurred_at"),
        key("order_history", "order_id", "sequence"),
    )


def _create_quotes() -> None:
    op.create_table(
        "quotes",
        text("quote_id"),
        text("startup_id"),
        text("pool_id"),
        jsonb("terms"),
        jsonb("match"),
        numeric("cash_hold_usd"),
        jsonb("fee", null=True),
        text("status"),
        text("order_id", null=True),
        text("reason", null=True),
        timestamp("expires_at"),
        timestamp("held_at"),
        bigint("last_sequence"),
        key("quotes", "quote_id"),
    )
    op.create_index("ix_quotes_startup", "quotes", ["startup_id", "quote_id"])
    op.create_index("ix_quotes_status", "quotes", ["status", "expires_at"])


def _create_auctions() -> None:
    op.create_table(
        "auctions",
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
        timestamp("carried_out_at", null=True),
        bigint("last_sequence"),
        key("auctions", "auction_id"),
    )
    op.create_index("ix_auctions_status", "auctions", ["status", "auction_id"])
    op.create_index("ix_auctions_opened", "auctions", ["opened_at", "auction_id"])


def _create_prices() -> None:
    op.create_table(
        "prices",
        text("pool_id"),
        timestamp("start"),
        timestamp("end"),
        text("auction_id"),
        bigint("from_period"),
        numeric("price_usd_per_gpu_hour"),
        timestamp("cleared_at"),
        bigint("last_sequence"),
        key("prices", "pool_id", "auction_id", "from_period"),
    )
    op.create_index("ix_prices_auction", "prices", ["auction_id", "pool_id", "from_period"])
    op.create_index("ix_prices_span", "prices", ["pool_id", "start"])


def _create_decisions() -> None:
    op.create_table(
        "decisions",
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
        key("decisions", "auction_id", "order_id"),
    )
    op.create_index("ix_decisions_order", "decisions", ["order_id", "auction_id"])


def _create_capacity_offers() -> None:
    op.create_table(
        "capacity_offers",
        text("pool_id"),
        text("lot_id"),
        bigint("sequence"),
        bigint("nodes", null=True),
        timestamp("start", null=True),
        timestamp("end", null=True),
        text("grant_id", null=True),
        timestamp("occurred_at"),
        key("capacity_offers", "pool_id", "lot_id", "sequence"),
    )


def _create_reservations() -> None:
    op.create_table(
        "reservations",
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
        key("reservations", "pool_id", "grant_id", "sequence", "line"),
    )
    op.create_index("ix_reservations_lot", "reservations", ["lot_id"])
    op.create_index("ix_reservations_resale_lot", "reservations", ["resale_lot_id"])


def _create_releases() -> None:
    op.create_table(
        "releases",
        text("pool_id"),
        text("grant_id"),
        bigint("sequence"),
        timestamp("at", null=True),
        timestamp("occurred_at"),
        key("releases", "pool_id", "grant_id", "sequence"),
    )


def _create_outages() -> None:
    op.create_table(
        "outages",
        text("pool_id"),
        bigint("sequence"),
        text("incident_id"),
        bigint("nodes"),
        timestamp("at"),
        timestamp("occurred_at"),
        key("outages", "pool_id", "sequence"),
    )


def _create_lot_terms() -> None:
    op.create_table(
        "lot_terms",
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
        key("lot_terms", "lot_id", "sequence"),
    )


def _create_grants() -> None:
    op.create_table(
        "grants",
        text("grant_id"),
        text("order_id"),
        text("auction_id", null=True),
        text("startup_id"),
        text("provider_id"),
        text("payer_id"),
        text("holder_id", null=True),
        text("pool_id"),
        text("gpu_class"),
        bigint("nodes"),
        bigint("gpus_per_node"),
        timestamp("start"),
        timestamp("end"),
        jsonb("lots"),
        text("price_usd_per_gpu_hour"),
        text("cash_share"),
        text("startup_account_id"),
        text("provider_account_id"),
        text("hold_id"),
        numeric("cash_commitment_usd"),
        jsonb("equity", null=True),
        jsonb("resale", null=True),
        jsonb("resold"),
        jsonb("service_lines"),
        jsonb("service", null=True),
        jsonb("ends", null=True),
        jsonb("stages", null=True),
        jsonb("stage", null=True),
        text("mark", null=True),
        text("status"),
        bigint("nodes_available"),
        bigint("priority"),
        text("reason", null=True),
        bigint("gpu_seconds_accepted", null=True),
        timestamp("ended_at", null=True),
        timestamp("issued_at"),
        bigint("last_sequence"),
        key("grants", "grant_id"),
    )
    op.create_index("ix_grants_holder", "grants", ["holder_id", "grant_id"])
    op.create_index("ix_grants_payer", "grants", ["payer_id", "grant_id"])
    op.create_index("ix_grants_issued", "grants", ["issued_at", "grant_id"])
    op.create_index("ix_grants_provider", "grants", ["provider_id", "grant_id"])
    op.create_index("ix_grants_startup", "grants", ["startup_id", "grant_id"])


def _create_grant_history() -> None:
    op.create_table(
        "grant_history",
        text("grant_id"),
        bigint("sequence"),
        text("status"),
        text("pool_id"),
        text("startup_id"),
        bigint("nodes_available"),
        text("reason", null=True),
        timestamp("occurred_at"),
        key("grant_history", "grant_id", "sequence"),
    )


def _create_relations() -> None:
    op.create_table(
        "relations",
        text("relation_id"),
        text("party_id"),
        text("related_id", null=True),
        text("owner", null=True),
        text("kind"),
        jsonb("stated_by"),
        flag("is_found"),
        timestamp("since", null=True),
        text("reason"),
        timestamp("recorded_at"),
        timestamp("ended_at", null=True),
        bigint("last_sequence"),
        key("relations", "relation_id"),
    )
    op.create_index("ix_relations_party", "relations", ["party_id"])
    op.create_index("ix_relations_related", "relations", ["related_id"])


def _create_fills() -> None:
    op.create_table(
        "fills",
        text("grant_id"),
        text("gpu_class"),
        text("pool_id"),
        text("startup_id"),
        text("seller_id"),
        text("mark", null=True),
        timestamp("marked_at", null=True),
        day("day", null=True),
        bigint("gpu_hours"),
        bigint("counted_gpu_hours"),
        numeric("charged_usd"),
        numeric("credited_usd"),
        text("statement_id", null=True),
        numeric("service_credit"),
        text("price_usd_per_gpu_hour"),
        timestamp("filled_at"),
        bigint("last_sequence"),
        key("fills", "grant_id"),
    )
    op.create_index("ix_fills_class", "fills", ["gpu_class", "day"])


def _create_list_prices() -> None:
    op.create_table(
        "list_prices",
        text("gpu_class"),
        text("provider"),
        text("product"),
        text("region"),
        day("listed_on"),
        numeric("usd_per_gpu_hour"),
        text("source"),
        text("pricelist_id"),
        bigint("last_sequence"),
        key("list_prices", "gpu_class", "provider", "product", "region", "listed_on"),
    )


def _create_curves() -> None:
    op.create_table(
        "curves",
        text("auction_id"),
        text("gpu_class"),
        text("source_id"),
        text("side"),
        numeric("price_usd_per_gpu_hour"),
        bigint("gpu_hours"),
        timestamp("locked_at"),
        bigint("last_sequence"),
        key("curves", "auction_id", "gpu_class", "source_id"),
    )
    op.create_index("ix_curves_class", "curves", ["gpu_class", "locked_at"])


def _create_ties() -> None:
    op.create_table(
        "ties",
        text("relation_id"),
        text("party_id"),
        text("other"),
        jsonb("words"),
        timestamp("ended_at", null=True),
        bigint("last_sequence"),
        key("ties", "relation_id"),
    )


def _create_reliability() -> None:
    op.create_table(
        "reliability",
        text("provider_id"),
        bigint("gpu_seconds_due"),
        bigint("gpu_seconds_lost"),
        bigint("grants_completed"),
        bigint("grants_broken"),
        bigint("gpu_seconds_completed"),
        bigint("gpu_seconds_broken"),
        bigint("gpu_seconds_accepted"),
        bigint("gpu_seconds_conceded"),
        bigint("cents_completed"),
        bigint("cents_broken"),
        numeric("value_worked"),
        numeric("value_lost"),
        numeric("value_accepted"),
        numeric("value_conceded"),
        bigint("last_sequence"),
        key("reliability", "provider_id"),
    )


def _create_reliability_courses() -> None:
    op.create_table(
        "reliability_courses",
        text("grant_id"),
        text("provider_id"),
        bigint("gpus_per_node"),
        bigint("nodes"),
        bigint("working"),
        timestamp("counted_until"),
        bigint("price"),
        flag("running"),
        jsonb("resold"),
        timestamp("stated_until", null=True),
        bigint("due_since"),
        bigint("lost_since"),
        flag("once_charged"),
        bigint("unpaid"),
        flag("left_out"),
        bigint("worked"),
        bigint("completed"),
        bigint("accepted"),
        bigint("gpu_seconds"),
        bigint("kept"),
        bigint("cents"),
        bigint("cents_kept"),
        flag("broken"),
        bigint("last_sequence"),
        key("reliability_courses", "grant_id"),
    )


def _create_readings() -> None:
    op.create_table(
        "readings",
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
        key("readings", "grant_id", "meter", "source", "reading_id"),
    )
    op.create_index(
        "ix_readings_devices",
        "readings",
        ["devices"],
        postgresql_using="gin",
        postgresql_where=sa.text("devices <> '[]'::jsonb"),
    )
    op.create_index("ix_readings_grant", "readings", ["grant_id", "reported_sequence"])
    op.create_index("ix_readings_start", "readings", ["grant_id", "start"])


def _create_evidence_samples() -> None:
    op.create_table(
        "evidence_samples",
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
        key("evidence_samples", "grant_id", "meter", "source", "device", "at"),
    )


def _create_allocations() -> None:
    op.create_table(
        "allocations",
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
        key("allocations", "usage_id", "source", "reading_id"),
    )
    op.create_index("ix_allocations_provider", "allocations", ["provider_id", "reported_sequence"])
    op.create_index("ix_allocations_startup", "allocations", ["startup_id", "reported_sequence"])


def _create_service_lines() -> None:
    op.create_table(
        "service_lines",
        text("service_line_id"),
        text("grant_id"),
        text("startup_id"),
        text("provider_id"),
        text("holder_id", null=True),
        text("name"),
        numeric("price_usd_per_hour"),
        numeric("hours"),
        bigint("workers"),
        text("status"),
        text("declined_by", null=True),
        text("reason", null=True),
        timestamp("proposed_at"),
        timestamp("approved_at", null=True),
        timestamp("agreed_at", null=True),
        numeric("cash_commitment_usd", null=True),
        jsonb("equity", null=True),
        bigint("last_sequence"),
        key("service_lines", "service_line_id"),
    )
    op.create_index("ix_service_lines_grant", "service_lines", ["grant_id", "service_line_id"])
    op.create_index("ix_service_lines_holder", "service_lines", ["holder_id", "service_line_id"])
    op.create_index("ix_service_lines_provider", "service_lines", ["provider_id", "service_line_id"])
    op.create_index("ix_service_lines_startup", "service_lines", ["startup_id", "service_line_id"])


def _create_hours_readings() -> None:
    op.create_table(
        "hours_readings",
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
        key("hours_readings", "service_line_id", "source", "reading_id"),
    )


def _create_statements() -> None:
    op.create_table(
        "statements",
        text("statement_id"),
        text("grant_id"),
        text("startup_id"),
        text("provider_id"),
        text("reseller_id", null=True),
        timestamp("period_start"),
        timestamp("period_end"),
        jsonb("charges_issued"),
        jsonb("charges"),
        text("status"),
        text("accepted_by", null=True),
        bigint("gpu_seconds_counted", null=True),
        text("service_line_id", null=True),
        numeric("hours_counted", null=True),
        text("reason", null=True),
        text("disputed_by", null=True),
        text("agreed_by", null=True),
        bigint("startup_gpu_seconds", null=True),
        jsonb("adjustment", null=True),
        jsonb("service", null=True),
        jsonb("service_credit", null=True),
        jsonb("settled", null=True),
        text("awaits", null=True),
        timestamp("answer_until", null=True),
        text("offered_by", null=True),
        bigint("gpu_seconds_offered", null=True),
        numeric("hours_offered", null=True),
        jsonb("evidence", null=True),
        text("resolved_by", null=True),
        jsonb("remarks"),
        timestamp("accept_until"),
        timestamp("issued_at"),
        timestamp("accepted_at", null=True),
        bigint("last_sequence"),
        key("statements", "statement_id"),
    )
    op.create_index("ix_statements_issued", "statements", ["issued_at", "statement_id"])
    op.create_index("ix_statements_due", "statements", ["status", "accept_until"])
    op.create_index("ix_statements_line", "statements", ["service_line_id", "statement_id"])
    op.create_index("ix_statements_grant", "statements", ["grant_id", "statement_id"])
    op.create_index("ix_statements_provider", "statements", ["provider_id", "statement_id"])
    op.create_index("ix_statements_reseller", "statements", ["reseller_id", "statement_id"])
    op.create_index("ix_statements_startup", "statements", ["startup_id", "statement_id"])
    op.create_table(
        "statement_parts",
        text("part_id"),
        text("statement_id"),
        bigint("last_sequence"),
        key("statement_parts", "part_id"),
    )


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        text("account_id"),
        text("party_id"),
        text("unit"),
        timestamp("opened_at"),
        timestamp("closed_at", null=True),
        numeric("limit_usd", null=True),
        numeric("order_limit_usd", null=True),
        numeric("week_limit_usd", null=True),
        bigint("last_sequence"),
        key("accounts", "account_id"),
    )
    op.create_index("ix_accounts_party", "accounts", ["party_id", "account_id"])


def _create_entries() -> None:
    op.create_table(
        "entries",
        bigint("sequence"),
        integer("line"),
        text("account"),
        text("party_id", null=True),
        text("unit"),
        numeric("amount"),
        text("tag"),
        text("cause", null=True),
        text("hold_id", null=True),
        timestamp("recorded_at"),
        timestamp("occurred_at"),
        key("entries", "sequence", "line"),
    )
    op.create_index("ix_entries_account", "entries", ["account", "sequence"])
    op.create_index("ix_entries_party", "entries", ["party_id", "sequence"])


def _create_balances() -> None:
    op.create_table(
        "balances",
        text("account"),
        text("party_id", null=True),
        text("unit"),
        numeric("amount"),
        bigint("last_sequence"),
        key("balances", "account"),
    )
    op.create_index("ix_balances_party", "balances", ["party_id", "account"])


def _create_posting_subjects() -> None:
    op.create_table(
        "posting_subjects",
        text("id"),
        text("unit"),
        text("party_id"),
        text("source"),
        text("source_party_id"),
        numeric("open"),
        numeric("unaccepted"),
        flag("closed"),
        timestamp("begins_at", null=True),
        flag("passed"),
        bigint("last_sequence"),
        key("posting_subjects", "id"),
    )


def _create_holds() -> None:
    op.create_table(
        "holds",
        text("account_id"),
        text("hold_id"),
        text("party_id"),
        text("purpose"),
        numeric("left_usd"),
        numeric("captured_usd"),
        numeric("credit_usd"),
        text("lender_id", null=True),
        timestamp("expires_at", null=True),
        flag("expired"),
        timestamp("placed_at"),
        bigint("last_sequence"),
        key("holds", "account_id", "hold_id"),
    )
    op.create_index("ix_holds_party", "holds", ["party_id", "hold_id"])
    op.create_index("ix_holds_purpose", "holds", ["purpose", "hold_id"])
    op.create_table(
        "account_reserves",
        text("account_id"),
        text("cause"),
        numeric("amount_usd"),
        timestamp("kept_until"),
        bigint("last_sequence"),
        key("account_reserves", "account_id", "cause"),
    )
    op.create_index("ix_account_reserves_until", "account_reserves", ["account_id", "kept_until"])
    op.create_table(
        "account_credits",
        text("account_id"),
        text("provider_id"),
        text("startup_id"),
        numeric("limit_usd"),
        bigint("last_sequence"),
        key("account_credits", "account_id", "provider_id"),
    )
    op.create_index("ix_account_credits_provider", "account_credits", ["provider_id", "account_id"])
    op.create_index("ix_account_credits_startup", "account_credits", ["startup_id", "account_id"])


def _create_account_approvals() -> None:
    op.create_table(
        "account_approvals",
        text("account_id"),
        text("approval_id"),
        text("party_id"),
        jsonb("act"),
        text("status"),
        text("person"),
        text("decided_by", null=True),
        text("reason", null=True),
        text("hold_id", null=True),
        timestamp("requested_at"),
        timestamp("approve_until"),
        bigint("last_sequence"),
        key("account_approvals", "account_id", "approval_id"),
    )
    op.create_index("ix_account_approvals_party", "account_approvals", ["party_id", "approval_id"])
    op.create_index("ix_account_approvals_approval", "account_approvals", ["approval_id"])
    op.create_index("ix_account_approvals_requested", "account_approvals", ["requested_at", "approval_id"])


def _create_bonds() -> None:
    op.create_table(
        "bonds",
        text("bond_id"),
        text("part"),
        text("party_id"),
        text("hold_id"),
        numeric("posted_usd"),
        numeric("paid_usd"),
        numeric("released_usd"),
        timestamp("stands_until"),
        bigint("last_sequence"),
        key("bonds", "bond_id", "part"),
    )
    op.create_index("ix_bonds_party", "bonds", ["party_id", "part"])
    op.create_table(
        "bond_claims",
        text("bond_id"),
        text("claim_id"),
        text("party_id"),
        text("startup_id"),
        text("holder_id", null=True),
        text("claimed_by"),
        jsonb("lot_ids"),
        text("grant_id"),
        text("statement_id", null=True),
        jsonb("items"),
        numeric("credited_usd"),
        numeric("amount_usd"),
        numeric("holders_usd"),
        text("status"),
        numeric("due_usd"),
        numeric("demand_usd"),
        numeric("paid_usd"),
        text("reason", null=True),
        timestamp("claimed_at"),
        timestamp("answer_until"),
        bigint("last_sequence"),
        key("bond_claims", "bond_id", "claim_id"),
    )
    op.create_index("ix_bond_claims_startup", "bond_claims", ["startup_id", "claim_id"])
    op.create_index("ix_bond_claims_party", "bond_claims", ["party_id", "claim_id"])
    op.create_index("ix_bond_claims_holder", "bond_claims", ["holder_id", "claim_id"])


def _create_instruments() -> None:
    op.create_table(
        "instruments",
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
        key("instruments", "instrument_id"),
    )
    op.create_index("ix_instruments_holder", "instruments", ["holder_id", "instrument_id"])
    op.create_index("ix_instruments_issuer", "instruments", ["issuer_id", "instrument_id"])


def _create_mfn_notices() -> None:
    op.create_table(
        "mfn_notices",
        text("instrument_id"),
        text("later_instrument_id"),
        jsonb("terms"),
        timestamp("elect_until"),
        flag("elected", null=True),
        timestamp("noticed_at"),
        bigint("last_sequence"),
        key("mfn_notices", "instrument_id", "later_instrument_id"),
    )


def _create_principal_movements() -> None:
    op.create_table(
        "principal_movements",
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
        key("principal_movements", "sequence"),
    )
    op.create_index("ix_principal_movements_instrument", "principal_movements", ["instrument_id", "sequence"])
    op.create_index("ix_principal_movements_issuer", "principal_movements", ["issuer_id", "sequence"])


def _create_issuers() -> None:
    op.create_table(
        "issuers",
        text("issuer_id"),
        text("party_id"),
        text("legal_name"),
        text("jurisdiction"),
        day("formed_on"),
        text("status"),
        bigint("plan_shares_reserved"),
        numeric("dilution_max", null=True),
        numeric("dilution_valuation_usd", null=True),
        jsonb("holder_terms", null=True),
        jsonb("bound", null=True),
        bigint("last_sequence"),
        key("issuers", "issuer_id"),
    )
    op.create_index("ix_issuers_party", "issuers", ["party_id", "issuer_id"])


def _create_issuer_imports() -> None:
    op.create_table(
        "issuer_imports",
        text("issuer_id"),
        text("source"),
        text("package_hash"),
        timestamp("imported_at"),
        bigint("last_sequence"),
        key("issuer_imports", "issuer_id"),
    )


def _create_stakeholders() -> None:
    op.create_table(
        "stakeholders",
        text("issuer_id"),
        text("holder_id"),
        text("name"),
        text("kind"),
        bigint("last_sequence"),
        key("stakeholders", "issuer_id", "holder_id"),
    )
    op.create_index("ix_stakeholders_holder", "stakeholders", ["holder_id", "issuer_id"])


def _create_stock_classes() -> None:
    op.create_table(
        "stock_classes",
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
        key("stock_classes", "issuer_id", "class_id"),
    )


def _create_stock_offers() -> None:
    op.create_table(
        "stock_offers",
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
        key("stock_offers", "transfer_id"),
    )
    op.create_index("ix_stock_offers_issuer", "stock_offers", ["issuer_id", "transfer_id"])


def _create_holdings() -> None:
    op.create_table(
        "holdings",
        text("issuer_id"),
        text("kind"),
        text("holder_id"),
        text("security"),
        text("class_id", null=True),
        bigint("shares"),
        text("exercise_price_usd", null=True),
        timestamp("expires_at", null=True),
        bigint("last_sequence"),
        key("holdings", "issuer_id", "kind", "holder_id", "security"),
    )
    op.create_index("ix_holdings_holder", "holdings", ["holder_id", "issuer_id"])


def _create_stock_options() -> None:
    op.create_table(
        "stock_options",
        text("issuer_id"),
        text("option_id"),
        text("holder_id"),
        jsonb("granted"),
        bigint("shares"),
        bigint("shares_outstanding"),
        bigint("shares_granted"),
        text("exercise_price_usd"),
        day("service_ended_on", null=True),
        bigint("last_sequence"),
        key("stock_options", "issuer_id", "option_id"),
    )
    op.create_index("ix_stock_options_holder", "stock_options", ["holder_id", "option_id"])


def _create_share_entries() -> None:
    op.create_table(
        "share_entries",
        bigint("sequence"),
        integer("line"),
        text("issuer_id"),
        text("kind"),
        text("holder_id"),
        text("security"),
        text("class_id", null=True),
        bigint("shares"),
        timestamp("occurred_at"),
        key("share_entries", "sequence", "line"),
    )
    op.create_index("ix_share_entries_issuer", "share_entries", ["issuer_id", "sequence"])


def _create_financings() -> None:
    op.create_table(
        "financings",
        text("financing_id"),
        text("issuer_id"),
        text("name"),
        text("status"),
        jsonb("terms"),
        jsonb("pro_rata"),
        timestamp("pro_rata_until", null=True),
        timestamp("open_until", null=True),
        jsonb("pricing", null=True),
        bigint("priced_sequence", null=True),
        jsonb("approval", null=True),
        text("reason", null=True),
        timestamp("opened_at"),
        timestamp("closed_at", null=True),
        bigint("last_sequence"),
        key("financings", "financing_id"),
    )
    op.create_index("ix_financings_issuer", "financings", ["issuer_id", "financing_id"])


def _create_pro_rata_answers() -> None:
    op.create_table(
        "pro_rata_answers",
        text("financing_id"),
        text("holder_id"),
        text("issuer_id"),
        numeric("amount_usd"),
        bigint("last_sequence"),
        key("pro_rata_answers", "financing_id", "holder_id"),
    )


def _create_liquidity_events() -> None:
    op.create_table(
        "liquidity_events",
        text("liquidity_id"),
        text("issuer_id"),
        text("kind"),
        text("status"),
        jsonb("waterfall"),
        numeric("paid_usd", null=True),
        jsonb("payouts", null=True),
        jsonb("later"),
        text("reason", null=True),
        timestamp("declared_at"),
        timestamp("pay_until"),
        timestamp("paid_at", null=True),
        bigint("last_sequence"),
        key("liquidity_events", "liquidity_id"),
    )
    op.create_index("ix_liquidity_events_issuer", "liquidity_events", ["issuer_id", "liquidity_id"])


def _create_valuations() -> None:
    op.create_table(
        "valuations",
        text("issuer_id"),
        bigint("recorded_sequence"),
        numeric("price_usd_per_share"),
        text("method"),
        day("effective_on"),
        timestamp("recorded_at"),
        bigint("last_sequence"),
        key("valuations", "issuer_id", "recorded_sequence"),
    )


def _create_warrants() -> None:
    op.create_table(
        "warrants",
        text("issuer_id"),
        text("warrant_id"),
        text("holder_id"),
        text("class_id"),
        text("status"),
        timestamp("expires_at"),
        text("exercise_price_usd"),
        jsonb("terms"),
        jsonb("attested"),
        jsonb("tranches"),
        bigint("last_sequence"),
        key("warrants", "issuer_id", "warrant_id"),
    )
    op.create_index("ix_warrants_holder", "warrants", ["holder_id", "warrant_id"])


def _create_programmes() -> None:
    op.create_table(
        "programmes",
        text("issuer_id"),
        text("programme_id"),
        text("name"),
        jsonb("customer_ids"),
        jsonb("vendor_ids"),
        flag("counts_outside"),
        jsonb("grant_ids"),
        jsonb("purchases"),
        bigint("last_sequence"),
        key("programmes", "issuer_id", "programme_id"),
    )


def _create_price_sources() -> None:
    op.create_table(
        "price_sources",
        text("issuer_id"),
        text("source_id"),
        text("name"),
        text("recorder_id", null=True),
        bigint("last_sequence"),
        key("price_sources", "issuer_id", "source_id"),
    )


def _create_price_observations() -> None:
    op.create_table(
        "price_observations",
        text("issuer_id"),
        text("source_id"),
        day("day"),
        numeric("price_usd_per_share"),
        bigint("volume"),
        bigint("last_sequence"),
        key("price_observations", "issuer_id", "source_id", "day"),
    )


def _create_proposals() -> None:
    op.create_table(
        "proposals",
        text("proposal_id"),
        text("issuer_id"),
        text("proposer_id"),
        text("status"),
        jsonb("effects"),
        jsonb("consents"),
        timestamp("proposed_at"),
        timestamp("decide_until"),
        text("reason", null=True),
        bigint("last_sequence"),
        key("proposals", "proposal_id"),
    )
    op.create_index("ix_proposals_issuer", "proposals", ["issuer_id", "proposal_id"])
    op.create_index("ix_proposals_proposer", "proposals", ["proposer_id", "proposal_id"])


def _create_proposal_votes() -> None:
    op.create_table(
        "proposal_votes",
        text("proposal_id"),
        text("party_id"),
        text("vote"),
        text("reason", null=True),
        bigint("last_sequence"),
        key("proposal_votes", "proposal_id", "party_id"),
    )
    op.create_index("ix_proposal_votes_party", "proposal_votes", ["party_id", "proposal_id"])


def _create_event_index() -> None:
    op.create_table(
        "event_index",
        bigint("sequence"),
        text("aggregate"),
        text("aggregate_id"),
        text("tag"),
        text("event_id"),
        text("command_id"),
        text("correlation_id", null=True),
        text("fingerprint"),
        timestamp("occurred_at"),
        key("event_index", "sequence"),
    )
    op.create_index("ix_event_index_aggregate", "event_index", ["aggregate_id", "sequence"])
    op.create_index("ix_event_index_command", "event_index", ["command_id"])
    op.create_index("ix_event_index_correlation", "event_index", ["correlation_id"])
    op.create_index("ix_event_index_event", "event_index", ["event_id"])
    op.create_index("ix_event_index_block", "event_index", [sa.text("(sequence / 10000)"), "occurred_at"])


def _create_event_parties() -> None:
    op.create_table(
        "event_parties",
        text("party_id"),
        bigint("sequence"),
        text("depth"),
        key("event_parties", "party_id", "sequence"),
    )


def _create_event_holders() -> None:
    op.create_table(
        "event_holders",
        text("issuer_id"),
        jsonb("terms", null=True),
        jsonb("bound"),
        jsonb("held"),
        bigint("last_sequence"),
        key("event_holders", "issuer_id"),
    )


def _create_event_instruments() -> None:
    op.create_table(
        "event_instruments",
        text("instrument_id"),
        text("issuer_id"),
        text("holder_id"),
        text("status"),
        numeric("principal_usd"),
        numeric("undrawn_usd"),
        bigint("last_sequence"),
        key("event_instruments", "instrument_id"),
    )


def _create_event_owners() -> None:
    op.create_table(
        "event_owners",
        text("id"),
        jsonb("parties"),
        bigint("last_sequence"),
        key("event_owners", "id"),
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
    _create_relations,
    _create_fills,
    _create_list_prices,
    _create_curves,
    _create_ties,
    _create_reliability,
    _create_reliability_courses,
    _create_readings,
    _create_evidence_samples,
    _create_allocations,
    _create_service_lines,
    _create_hours_readings,
    _create_statements,
    _create_accounts,
    _create_entries,
    _create_balances,
    _create_posting_subjects,
    _create_holds,
    _create_account_approvals,
    _create_bonds,
    _create_instruments,
    _create_principal_movements,
    _create_mfn_notices,
    _create_issuers,
    _create_issuer_imports,
    _create_stakeholders,
    _create_stock_classes,
    _create_stock_offers,
    _create_holdings,
    _create_stock_options,
    _create_share_entries,
    _create_financings,
    _create_pro_rata_answers,
    _create_liquidity_events,
    _create_valuations,
    _create_warrants,
    _create_programmes,
    _create_price_sources,
    _create_price_observations,
    _create_proposals,
    _create_proposal_votes,
    _create_event_index,
    _create_event_parties,
    _create_event_owners,
    _create_event_holders,
    _create_event_instruments,
)


def upgrade() -> None:
    """Create them."""
    for create in _CREATE:
        create()


_DROP = (
    "stuck_tasks",
    "log_seen",
    "event_instruments",
    "event_holders",
    "event_owners",
    "event_parties",
    "event_index",
    "proposal_votes",
    "proposals",
    "price_observations",
    "price_sources",
    "programmes",
    "warrants",
    "valuations",
    "liquidity_events",
    "pro_rata_answers",
    "financings",
    "share_entries",
    "stock_options",
    "holdings",
    "stock_offers",
    "stock_classes",
    "stakeholders",
    "issuer_imports",
    "issuers",
    "principal_movements",
    "mfn_notices",
    "instruments",
    "bond_claims",
    "bonds",
    "account_approvals",
    "account_credits",
    "account_reserves",
    "holds",
    "posting_subjects",
    "balances",
    "entries",
    "accounts",
    "statement_parts",
    "statements",
    "hours_readings",
    "service_lines",
    "allocations",
    "evidence_samples",
    "readings",
    "reliability_courses",
    "reliability",
    "ties",
    "curves",
    "list_prices",
    "fills",
    "relations",
    "grant_history",
    "grants",
    "lot_terms",
    "outages",
    "releases",
    "reservations",
    "capacity_offers",
    "decisions",
    "prices",
    "auctions",
    "quotes",
    "order_history",
    "orders",
    "mandate_holds",
    "mandates",
    "lots",
    "pools",
    "sites",
    "parties",
    "snapshots",
    "api_key_changes",
    "api_keys",
    "projection_positions",
)


def downgrade() -> None:
    """Drop them."""
    for table in _DROP:
        op.drop_table(table)
