"""The numbered invariants of `marketplace/domain/README.md`: the property that holds each, and one fault it must catch.

A mutant is a deliberate fault of one line. `tests/invariants/test_mutants.py` plays every property with each of them.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Mutant:
    """A fault.

    Attributes:
        module: Where.
        before: Text that stands there once, in a function.
        after: What stands there instead.
    """

    module: str
    before: str
    after: str

    def change(self, source: str) -> str:
        """Return the module's source with the fault in it."""
        assert source.count(self.before) == 1, f"{self.module} has {self.before!r} not once"
        return source.replace(self.before, self.after)


@dataclass(frozen=True)
class Invariant:
    """A numbered invariant.

    Attributes:
        number: Its number in the README.
        test: The property, ``module:function``.
        mutant: The fault that it catches.
        arguments: What the function is called with.
        also: Numbers of properties that rest on this one and may catch the fault as well.
    """

    number: int
    test: str
    mutant: Mutant
    arguments: tuple[str, ...] = ()
    also: frozenset[int] = frozenset()

    @property
    def module(self) -> str:
        """Where the property is."""
        return self.test.partition(":")[0]

    @property
    def function(self) -> str:
        """The property's name."""
        return self.test.partition(":")[2]


WHOLE_LIVES: Final = 10
"""The property of whole lives repeats the others on their way; it may catch any of their faults too."""

INVARIANTS: Final = (
    Invariant(
        1,
        "tests.domain.supply.test_pool_properties:test_capacity_is_never_oversold_and_never_refused_while_it_is_free",
        Mutant("marketplace.domain.supply.pool", "if peak > offer.amount:", "if peak > offer.amount + 1:"),
    ),
    Invariant(
        2,
        "tests.domain.test_money_properties:test_what_came_in_less_what_went_out_is_available_or_held",
        Mutant(
            "marketplace.domain.billing.account_state", "if amount_usd > state.available_usd:", "if amount_usd < 0:"
        ),
        also=frozenset({42}),
    ),
    Invariant(
        3,
        "tests.domain.test_money_properties:test_a_mandate_never_overspends_its_budget_nor_an_issuer_its_maximum",
        Mutant(
            "marketplace.domain.trading.mandate",
            "needed > whole:",
            "needed > terms.budget_usd:",
        ),
    ),
    Invariant(
        4,
        "tests.domain.billing.test_settlement:test_periods_sum_to_one_statement_over_the_whole",
        Mutant(
            "marketplace.domain.billing.settlement",
            "cash_usd=after.cash_usd - before.cash_usd,",
            "cash_usd=after.cash_usd,",
        ),
        also=frozenset({15, 19}),
    ),
    Invariant(
        5,
        "tests.domain.equity.test_instrument:test_principal_is_accrued_less_reversed_and_within_the_commitment",
        Mutant(
            "marketplace.domain.equity.instrument.principal",
            "if command.principal_usd > state.undrawn_usd:",
            "if command.principal_usd > state.issued.commitment_usd:",
        ),
    ),
    Invariant(
        6,
        "tests.domain.equity.test_issuer_properties:test_the_rows_of_the_cap_table_sum_to_its_total",
        Mutant(
            "marketplace.domain.equity.issuer.state",
            "return Totals(stock, options, warrants, promised, pool, stock + options + warrants + promised + pool)",
            "return Totals(stock, options, warrants, promised, pool, stock + options + promised + pool)",
        ),
    ),
    Invariant(
        7,
        "tests.domain.trading.test_order_properties:test_an_order_ends_once_and_is_not_touched_while_it_is_locked",
        Mutant(
            "marketplace.domain.trading.order",
            "require_open(state)\n    return [OrderCancelled(",
            "isinstance(state, LockedOrder) or require_open(state)\n    return [OrderCancelled(",
        ),
    ),
    Invariant(
        8,
        "tests.domain.metering.test_usage_properties:test_never_more_nodes_are_counted_than_were_granted",
        Mutant(
            "marketplace.domain.metering.usage_record",
            "if peak + gpus > nodes * metered.gpus_per_node:",
            "if gpus > nodes * metered.gpus_per_node:",
        ),
        also=frozenset({25}),
    ),
    Invariant(
        9,
        "tests.domain.test_refusals:test_every_code_that_is_raised_is_documented_and_every_documented_code_is_raised",
        Mutant("marketplace.domain.billing.account_state", '"funds_insufficient",', '"funds_missing",'),
        arguments=("account",),
    ),
    Invariant(
        WHOLE_LIVES,
        "tests.domain.test_lifecycle:test_the_standing_invariants_hold_after_every_step_of_every_life",
        Mutant(
            "marketplace.domain.trading.order_terms",
            "return max([ceil_cost(offer.cash_usd_per_gpu_hour, hours) for offer in terms.offers])",
            "return max([ceil_cost(offer.cash_usd_per_gpu_hour, hours) for offer in terms.offers]) / 2",
        ),
    ),
    Invariant(
        11,
        "tests.domain.test_money_properties:test_a_hold_pays_until_it_expires_and_is_then_available_again",
        Mutant(
            "marketplace.domain.billing.account_state",
            "expires_at is not None and at >= expires_at",
            "expires_at is not None and at > expires_at",
        ),
    ),
    Invariant(
        12,
        "tests.invariants.ledger:test_the_ledger_says_what_the_accounts_say",
        Mutant(
            "marketplace.projections.billing.accounts.rules",
            "return _move(USD, event.amount_usd, _held(event), _available(event))",
            "return _hold_placed(event, _) if isinstance(event, account.AccountHoldReleased) else "
            "_move(USD, event.amount_usd, _held(event), _available(event))",
        ),
    ),
    Invariant(
        13,
        "tests.domain.delivery.test_reliability:test_every_share_is_between_nothing_and_one_in_any_order",
        Mutant(
            "marketplace.domain.delivery.reliability",
            "min((course.nodes - course.working) * seconds, due)",
            "(course.nodes + course.working) * seconds",
        ),
    ),
    Invariant(
        14,
        "tests.domain.delivery.test_service_level:test_what_a_period_came_to_is_between_nothing_and_all_and_halves_sum_to_the_whole",
        Mutant(
            "marketplace.domain.delivery.service_level",
            "Load(max(load.start, start), min(load.end, end), load.amount)",
            "Load(load.start, min(load.end, end), load.amount)",
        ),
        also=frozenset({25}),
    ),
    Invariant(
        15,
        "tests.domain.billing.test_settlement:test_a_service_credit_is_a_share_of_what_was_charged_and_is_conserved_to_the_cent",
        Mutant(
            "marketplace.domain.billing.settlement",
            "provider_usd=cash + holder,",
            "provider_usd=round_cents(Fraction(charges.provider_usd) * Fraction(share)),",
        ),
    ),
    Invariant(
        16,
        "tests.domain.delivery.test_detection:test_a_health_turns_only_by_enough_looks_in_a_row_and_each_look_counts_once",
        Mutant(
            "marketplace.domain.delivery.detection",
            "return replace(health, run=0, run_since=None, seen=seen)",
            "return replace(health, seen=seen)",
        ),
    ),
    Invariant(
        17,
        "tests.domain.metering.test_allocation:"
        "test_at_every_second_each_grant_carries_what_the_order_says_whatever_is_corrected",
        Mutant(
            "marketplace.domain.metering.burn_order",
            "used = sum(amount for begin, stop, amount in offer.runs if begin < last and stop > first)",
            "used = sum(amount for begin, stop, amount in offer.runs if begin <= first and stop > last)",
        ),
    ),
    Invariant(
        18,
        "tests.domain.billing.test_service_line_properties:"
        "test_hours_count_once_in_one_period_and_never_above_what_was_agreed_on",
        Mutant(
            "marketplace.domain.billing.service_line",
            "if state.hours + reading.hours > agreed.hours:",
            "if reading.hours > agreed.hours:",
        ),
    ),
    Invariant(
        19,
        "tests.domain.billing.test_service_line_properties:"
        "test_what_periods_of_hours_cost_sums_to_one_statement_over_the_whole",
        Mutant(
            "marketplace.domain.billing.settlement",
            "after = compute_totals_of_hours(tariff, Fraction(hours_before) + Fraction(hours))",
            "after = compute_totals_of_hours(tariff, Fraction(hours_before) + round(Fraction(hours)))",
        ),
    ),
    Invariant(
        20,
        "tests.domain.metering.test_usage_properties:test_nothing_more_is_counted_on_what_the_record_was_told_is_gone",
        Mutant(
            "marketplace.domain.metering.usage_record",
            "return msgspec.structs.replace(metered, **limits._asdict())",
            "return msgspec.structs.replace(metered, resold=state.limits.resold)",
        ),
    ),
    Invariant(
        21,
        "tests.domain.billing.test_service_line_properties:test_no_hour_is_counted_outside_of_what_the_line_was_told_last",
        Mutant(
            "marketplace.domain.billing.service_line",
            "spans = known if state.spans is None else state.spans",
            "spans = known",
        ),
    ),
    Invariant(
        22,
        "tests.domain.supply.test_site_properties:test_a_site_is_never_drawn_above_its_power_by_what_is_reserved_then",
        Mutant("marketplace.domain.supply.site", "if over > 0:", "if over > 11:"),
    ),
    Invariant(
        23,
        "tests.domain.equity.test_consent_properties:test_no_position_of_a_party_falls_unless_it_is_asked",
        Mutant(
            "marketplace.domain.equity.rights",
            "asked = Asked((event.holder_id,), company=True, vote=votes, gain=(event.holder_id,) if dear else ())",
            "asked = Asked((), company=True, vote=votes, gain=(event.holder_id,) if dear else ())",
        ),
    ),
    Invariant(
        24,
        "tests.domain.equity.test_consent_properties:test_a_proposal_takes_effect_only_after_enough_agreed_in_time",
        Mutant(
            "marketplace.domain.equity.proposal",
            "state.list_missing(command.at, command.covered)\n    if missing:",
            "state.list_missing(command.at, command.covered)\n    if missing and not state.agreed:",
        ),
    ),
    Invariant(
        25,
        "tests.domain.billing.test_delivered:test_delivered_is_what_was_counted_of_working_nodes_and_never_above_what_was_left",
        Mutant(
            "marketplace.domain.billing.delivered",
            "excess += (gpus - working.amount)",
            "excess += (gpus - working.amount) // 2",
        ),
    ),
    Invariant(
        26,
        "tests.domain.test_register:"
        "test_relations_are_symmetric_firm_ones_transitive_and_a_lone_statement_relates_only_its_own_side",
        Mutant(
            "marketplace.domain.register",
            "return reached.union(*(self.list_group(other, at) for other in naming - reached))",
            "return reached",
        ),
    ),
    Invariant(
        27,
        "tests.domain.test_register:test_an_auction_awards_nothing_to_a_related_party_and_a_quote_marks_it",
        Mutant(
            "marketplace.domain.register",
            'if mark == "related" and issued.auction_id is not None:',
            'if mark == "related" and issued.auction_id is None:',
        ),
    ),
    Invariant(
        28,
        "tests.projections.trading.test_market_data:test_fills_of_related_parties_never_count_and_no_buyer_decides",
        Mutant(
            "marketplace.projections.trading.market.index",
            "if row.marked_at is None or row.marked_at > at)",
            "if row.marked_at != at)",
        ),
    ),
    Invariant(
        29,
        "tests.domain.supply.test_schedule:"
        "test_a_hold_costs_more_the_longer_the_nearer_and_the_larger_it_is_and_never_more_than_its_price",
        Mutant(
            "marketplace.domain.supply.schedule",
            "if start - begun <= each.hours_max * _HOUR",
            "if start - begun >= each.hours_max * _HOUR",
        ),
    ),
    Invariant(
        30,
        "tests.domain.equity.test_ground:test_an_agreement_covers_no_sale_that_pays_its_party_less_beyond_the_tolerance",
        Mutant(
            "marketplace.domain.equity.ground", "Fraction(0)) * (1 - TOLERANCE)}", "Fraction(0)) * (1 - 2 * TOLERANCE)}"
        ),
    ),
    Invariant(
        31,
        "tests.domain.billing.test_bond:test_what_was_posted_is_free_paid_or_released_and_no_claim_is_paid_above_its_answer",
        Mutant(
            "marketplace.domain.billing.bond",
            "entitled = floor_cents(Fraction(dues[claim_id]) * share)",
            "entitled = floor_cents(Fraction(claim.demand_usd) * share)",
        ),
    ),
    Invariant(
        32,
        "tests.domain.billing.test_settlement:test_delivery_at_a_price_costs_at_least_a_cent",
        Mutant(
            "marketplace.domain.billing.settlement",
            "return max(round_cents(amount), CENT) if amount else ZERO",
            "return round_cents(amount)",
        ),
    ),
    Invariant(
        33,
        "tests.domain.supply.test_schedule:"
        "test_an_early_end_costs_no_more_at_a_longer_notice_and_never_more_than_its_price",
        Mutant(
            "marketplace.domain.supply.schedule",
            "return ceil_cents(price_usd * Fraction(share))",
            "return ceil_cents(price_usd * (1 - Fraction(share)))",
        ),
    ),
    Invariant(
        34,
        "tests.domain.billing.test_settlement:"
        "test_the_platform_s_fees_sum_to_its_shares_and_no_fee_exceeds_what_it_is_a_part_of",
        Mutant(
            "marketplace.domain.billing.settlement",
            "provider_fee_usd=after.provider_fee_usd - before.provider_fee_usd,",
            "provider_fee_usd=after.provider_fee_usd,",
        ),
    ),
    Invariant(
        35,
        "tests.domain.test_money_properties:test_single_persons_buy_within_the_limits_of_their_account",
        Mutant(
            "marketplace.domain.billing.account_state",
            "sum([*counted, *principal.values()], amount_usd) > week",
            "amount_usd > week",
        ),
    ),
    Invariant(
        36,
        "tests.domain.billing.test_stages:"
        "test_what_is_set_aside_covers_what_was_delivered_and_withheld_whenever_a_startup_stops_paying",
        Mutant(
            "marketplace.domain.billing.stages",
            "(stages_paid * issued.stages.hours + issued.stages.security_hours) * _HOUR",
            "stages_paid * issued.stages.hours * _HOUR",
        ),
        also=frozenset({41}),
    ),
    Invariant(
        37,
        "tests.domain.test_money_properties:test_two_persons_let_an_act_happen_and_no_operator_stands_behind_both",
        Mutant(
            "marketplace.domain.billing.account_approvals",
            "if command.operator is not None and command.operator == requested.operator:",
            "if command.operator is not None and command.operator == command.person:",
        ),
    ),
    Invariant(
        38,
        "tests.application.test_access:test_the_platform_decides_in_place_of_a_party_only_by_the_scope_for_it",
        Mutant(
            "marketplace.application.steps.access",
            "if context.party_id is None and not context.decides:",
            "if context.party_id is not None and not context.decides:",
        ),
    ),
    Invariant(
        39,
        "tests.domain.equity.test_clawback:"
        "test_what_principal_became_falls_only_as_its_holder_agrees_and_not_after_half_a_year",
        Mutant(
            "marketplace.domain.equity.instrument.clawback",
            "return accepts or bool(became) or is_pending",
            "return accepts or is_pending",
        ),
    ),
    Invariant(
        40,
        "tests.domain.test_money_properties:test_orders_and_grants_take_no_more_of_a_credit_than_its_limit",
        Mutant(
            "marketplace.domain.billing.account_state", "amount_usd > limit_usd - taken_usd", "amount_usd > limit_usd"
        ),
    ),
    Invariant(
        41,
        "tests.domain.billing.test_stages:"
        "test_what_is_set_aside_covers_what_was_delivered_and_withheld_whenever_a_startup_stops_paying",
        Mutant(
            "marketplace.domain.billing.stages",
            ".startup_usd - issued.credit_usd, ZERO)",
            ".startup_usd - 2 * issued.credit_usd, ZERO)",
        ),
        also=frozenset({36}),
    ),
    Invariant(
        42,
        "tests.domain.test_money_properties:"
        "test_what_an_account_keeps_for_others_is_neither_withdrawn_nor_held_for_others",
        Mutant("marketplace.domain.billing.account_state", "if at < until and cause not in causes", "if at > until"),
    ),
)
