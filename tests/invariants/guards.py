"""The rules of ADR 17 that span aggregates: what guards each, the guard taken away, and the races that must notice.

A mutant looks at a fact where the guard writes it, or leaves out the second look. `tests/invariants/test_guards.py`
runs the races with each of them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.invariants.corpus import Mutant

_COMMANDS: Final = "marketplace.application"
ROOT: Final = Path(__file__).parents[2]
ROOMS: Final = ("tests/application", "tests/runtime")


@dataclass(frozen=True)
class Guard:
    """One guard of a rule.

    Attributes:
        name: What it is called in the test's output.
        rule: The rule's words in the first column of a table of ADR 17.
        mutant: The guard taken away.
        place: File of the races below `tests/application` or `tests/runtime`, and class in it.
        races: Tests there of which each fails without it, whatever its parameters.
    """

    name: str
    rule: str
    mutant: Mutant
    place: str
    races: tuple[str, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The races by the names that pytest gives them."""
        file, _, place = self.place.partition("::")
        [path] = (path for room in ROOMS for path in (ROOT / room).rglob(file))
        where = "::".join(filter(None, (path.relative_to(ROOT).as_posix(), place)))
        return tuple(f"{where}::{race}" for race in self.races)


GUARDS: Final = (
    Guard(
        "power-reserved",
        "the nodes of a site draw no more than its power",
        Mutant(
            f"{_COMMANDS}.steps.capacity",
            "await unit.decide(SITE, site_id, DrawPower(site_id=site_id, changes=tuple(changes.values())))",
            "SITE.decide(DrawPower(site_id=site_id, changes=tuple(changes.values())), await unit.load(SITE, site_id))",
        ),
        "test_site_power.py::TestOnMemory",
        ("test_of_two_processes_that_take_the_last_power_in_two_pools_one_is_refused",),
    ),
    Guard(
        "power-known",
        "the nodes of a site draw no more than its power",
        Mutant(
            f"{_COMMANDS}.steps.capacity",
            "if (await unit.get(SITE, site_id)).drawn.get((pool_id, grant_id), ()) != drawn:",
            "if drawn is None:",
        ),
        "test_site_power.py::TestOnMemory",
        ("test_power_is_free_again_though_the_process_that_frees_it_has_not_heard_that_it_was_taken",),
    ),
    Guard(
        "exposure-recorded",
        "instruments amount to no more than the issuer's limit",
        Mutant(
            f"{_COMMANDS}.steps.dilution",
            "await unit.decide_at_end(ISSUER, issuer_id, command)",
            "ISSUER.decide(command, await unit.get(ISSUER, issuer_id, Issuer))",
        ),
        "test_rule_races.py::TestDilutionOnMemory",
        ("test_a_limit_counts_an_instrument_as_it_is_amended",),
    ),
    Guard(
        "exposure-reloaded",
        "instruments amount to no more than the issuer's limit",
        Mutant(
            "marketplace.execution.unit_of_work",
            "reading = self._cache.refresh(decider, part.before)",
            "reading = None",
        ),
        "test_rule_races.py::TestDilutionOnMemory",
        ("test_the_issuer_counts_what_the_instrument_says_whoever_amends_it_last",),
    ),
    Guard(
        "offer-bound",
        "no company is sold or outgrows the price of an order in its equity that an auction has bound",
        Mutant(f"{_COMMANDS}.trading.auctions", "exposures=known, binds=True)", "exposures=known)"),
        "test_rule_races.py::TestBoundOffersOnMemory",
        (
            "test_no_order_is_locked_beside_a_sale_whichever_is_first",
            "test_no_company_outgrows_the_price_of_an_order_that_is_locked",
        ),
    ),
    Guard(
        "offer-reloaded",
        "no company is sold or outgrows the price of an order in its equity that an auction has bound",
        Mutant(f"{_COMMANDS}.steps.binding", "await unit.reload(ORDER, order_id)", "order"),
        "test_rule_races.py::TestBoundOffersOnMemory",
        ("test_a_process_that_has_not_heard_of_a_lock_sells_no_company",),
    ),
    Guard(
        "group-served",
        "at most one order of a group is matched",
        Mutant(
            f"{_COMMANDS}.trading.auctions",
            "await unit.decide(PARTY, startup_id, serve)",
            "PARTY.decide(serve, await unit.load(PARTY, startup_id))",
        ),
        "test_rule_races.py::TestGroupsOnMemory",
        ("test_of_a_group_one_order_is_matched_whichever_auction_is_first",),
    ),
    Guard(
        "supply-changed",
        "a frozen book contains nothing that was held or withdrawn meanwhile",
        Mutant(
            f"{_COMMANDS}.steps.auction_supply",
            "await unit.decide(AUCTION, auction_id, ChangeSupply(auction_id=auction_id, cause=cause))",
            "AUCTION.decide(ChangeSupply(auction_id=auction_id, cause=cause), auction)",
        ),
        "test_rule_races.py::TestBooksOnMemory",
        ("test_no_hold_takes_what_a_frozen_book_has",),
    ),
    Guard(
        "usage-limited",
        "nothing is counted beyond what is left of a grant",
        Mutant(
            f"{_COMMANDS}.steps.usage_bounds",
            "await unit.decide(USAGE, usage_id, command)",
            "USAGE.decide(command, await unit.load(USAGE, usage_id))",
        ),
        "test_usage_races.py::TestOnMemory",
        ("test_a_reading_that_was_decided_before_a_change_and_comes_after_it_is_decided_again",),
    ),
    Guard(
        "service-line-limited",
        "nothing is counted beyond what is left of a grant",
        Mutant(
            f"{_COMMANDS}.steps.usage_bounds",
            "await unit.decide(SERVICE_LINE, line_id, command)",
            "SERVICE_LINE.decide(command, await unit.load(SERVICE_LINE, line_id))",
        ),
        "test_hours_races.py::TestOnMemory",
        ("test_hours_that_were_decided_before_an_early_end_and_come_after_it_are_decided_again",),
    ),
    Guard(
        "statement-number",
        "statements of one grant or service line are priced one after the other",
        Mutant(
            f"{_COMMANDS}.steps.statement_chain",
            "    await unit.decide(COMMAND, number_id, record)\n    if not unit.list_events(COMMAND, number_id):",
            "    if COMMAND.decide(record, await unit.load(COMMAND, number_id)) is None:",
        ),
        "test_rule_races.py::TestStatementsOnMemory",
        ("test_statements_of_two_periods_are_priced_one_after_the_other",),
    ),
    Guard(
        "cash-held",
        "money, credit, what one person alone spends, a mandate's budgets and their shares",
        Mutant(
            f"{_COMMANDS}.trading.orders",
            "await unit.decide(ACCOUNT, account_id, hold)",
            "ACCOUNT.decide(hold, await unit.load(ACCOUNT, account_id))",
        ),
        "test_races.py::TestOnMemory",
        (
            "test_cash_for_ten_orders_buys_ten_of_sixty_four",
            "test_of_two_orders_of_one_person_in_a_week_the_second_waits_for_another_person",
            "test_of_two_orders_on_credit_for_one_the_second_is_refused",
        ),
    ),
    Guard(
        "budget-held",
        "money, credit, what one person alone spends, a mandate's budgets and their shares",
        Mutant(
            f"{_COMMANDS}.trading.orders",
            "await unit.decide(MANDATE, mandate_id, command)",
            "MANDATE.decide(command, mandate)",
        ),
        "test_races.py::TestOnMemory",
        (
            "test_a_budget_for_ten_orders_serves_ten_of_sixty_four",
            "test_of_two_orders_for_a_vendors_share_of_a_budget_the_second_is_refused",
        ),
    ),
    Guard(
        "stage-held",
        "money, credit, what one person alone spends, a mandate's budgets and their shares",
        Mutant(
            f"{_COMMANDS}.steps.stages",
            "await unit.decide(ACCOUNT, account_id, adjust)",
            "ACCOUNT.decide(adjust, await unit.load(ACCOUNT, account_id))",
        ),
        "test_stages.py",
        ("test_the_last_money_pays_one_of_two_stages_that_begin_at_once",),
    ),
    Guard(
        "deposit-counted",
        "one person of the platform records deposits up to its limit, over all accounts together",
        Mutant(
            f"{_COMMANDS}.billing.accounts",
            "await unit.decide(SCHEDULE, SCHEDULE_ID, count)",
            "SCHEDULE.decide(count, schedule)",
        ),
        "test_deposits.py",
        ("test_deposits_of_two_processes_at_once_count_together",),
    ),
    Guard(
        "reference-used",
        "a deposit's reference counts once in the market",
        Mutant(
            f"{_COMMANDS}.billing.accounts",
            "await unit.decide(COMMAND, record_id, record)",
            "COMMAND.decide(record, None)",
        ),
        "test_deposits.py",
        ("test_two_processes_that_record_one_wire_at_once_record_it_once",),
    ),
    Guard(
        "replacement-used",
        "a grant replaces the hours of one claim, whoever's bond pays it",
        Mutant(
            f"{_COMMANDS}.billing.bonds",
            "await unit.decide(COMMAND, record_id, record)",
            "COMMAND.decide(record, used)",
        ),
        "test_hostile_claims.py",
        ("test_a_replacement_counts_for_one_provider_alone",),
    ),
    Guard(
        "nodes-offered",
        "nodes of a pool, also once it leaves",
        Mutant(
            f"{_COMMANDS}.supply.inventory",
            "        await unit.decide(LOT, lot_id, ListLot(listed=listed))\n        await unit.decide(\n"
            "            POOL, pool_id, "
            "OfferCapacity(pool_id=pool_id, lot_id=lot_id, nodes=nodes, start=begins, end=end)\n        )",
            "        await unit.decide(LOT, lot_id, ListLot(listed=listed))\n        POOL.decide("
            "OfferCapacity(pool_id=pool_id, lot_id=lot_id, nodes=nodes, start=begins, end=end), "
            "await unit.load(POOL, pool_id))",
        ),
        "test_races.py::TestOnMemory",
        ("test_nodes_are_listed_once_whoever_lists_them",),
    ),
    Guard(
        "append-guarded",
        "nodes of a pool, also once it leaves",
        Mutant("marketplace.log.memory", "if write.after.sequence != last:", "if last is None:"),
        "test_races.py::TestOnMemory",
        ("test_of_a_cancel_and_a_lock_the_one_that_is_stored_first_wins",),
    ),
    Guard(
        "vested-again",
        "a milestone of a warrant vests once what it counts is enough",
        Mutant(
            "marketplace.runtime.scheduling.scheduler",
            "        self._vest(event.statement_id, event.grant_id)\n        self._settle",
            "        self._settle",
        ),
        "test_rule_races.py::TestVestingOnMemory",
        ("test_it_vests_though_the_second_process_does_not_know_of_the_first_acceptance",),
    ),
    Guard(
        "vested-as-measured",
        "a milestone of a warrant vests once what it counts is enough",
        Mutant(
            "marketplace.runtime.scheduling.scheduler",
            '            self.put(Task("vest_warrants", event.issuer_id), NOW)',
            "            pass",
        ),
        "test_rule_races.py::TestVestingOnMemory",
        ("test_it_vests_when_one_process_accepts_and_another_one_records_what_was_missing",),
    ),
    Guard(
        "adjusted-again",
        "a statement states what was metered, and its outages",
        Mutant(
            "marketplace.runtime.scheduling.scheduler",
            "            self.put(adjust, NOW)\n        else:",
            "        else:",
        ),
        "test_adjustments.py",
        ("test_readings_that_a_statement_overlooked_are_charged_once_it_is_settled",),
    ),
    Guard(
        "usage-reviewed",
        "a statement states what was metered, and its outages",
        Mutant(
            "marketplace.runtime.scheduling.scheduler",
            '        if grant_id not in self._periods:\n            self.put(Task("review_usage", grant_id), NOW)',
            "        pass",
        ),
        "test_adjustments.py",
        ("test_after_the_end_usage_can_only_be_lowered_and_is_still_paid_back",),
    ),
    Guard(
        "parent-at-lock",
        "a child's parent may still be matched when the child is placed",
        Mutant(
            "marketplace.domain.trading.admission",
            "elif isinstance(parent, EndedOrder):",
            "elif isinstance(parent, EndedOrder) and parent is None:",
        ),
        "test_terms.py",
        ("test_what_depends_on_an_order_that_ended_ends_with_it_and_holds_nothing",),
    ),
    Guard(
        "parent-at-match",
        "a child's parent may still be matched when the child is placed",
        Mutant(
            f"{_COMMANDS}.trading.auctions",
            "if order.terms.parent_order_id is not None:",
            "if order is None:",
        ),
        "test_auction_turns.py",
        (
            "test_a_child_whose_parent_became_impossible_while_the_engine_worked_is_not_matched",
            "test_nobody_matches_a_child_ahead_of_its_parent",
        ),
    ),
    Guard(
        "deferred-late-lock",
        "an order is in the book that locked it",
        Mutant(
            "marketplace.runtime.scheduling.scheduler",
            "if book is not None and event.order_id not in book:",
            "if book is None:",
        ),
        "test_auctions.py",
        ("test_an_order_that_a_slow_auctioneer_locked_after_the_book_was_frozen_is_deferred",),
    ),
    Guard(
        "deferred-missed-book",
        "an order is in the book that locked it",
        Mutant(
            "marketplace.runtime.scheduling.scheduler",
            "if auction_id == event.auction_id and order_id not in book:",
            "if book is None:",
        ),
        "test_auctions.py",
        ("test_an_order_that_was_locked_and_missed_the_book_is_deferred",),
    ),
    Guard(
        "lots-moved-by-slip",
        "a lot begins no earlier than its site",
        Mutant("marketplace.runtime.scheduling.scheduler", 'self.put(Task("move_lots", event.site_id), NOW)', "pass"),
        "test_rule_races.py::TestSlipsOnMemory",
        ("test_a_lot_begins_no_earlier_than_its_site",),
    ),
    Guard(
        "lots-moved-as-listed",
        "a lot begins no earlier than its site",
        Mutant("marketplace.runtime.scheduling.market_state", "                self._move_lots(event.pool_id)\n", ""),
        "test_rule_races.py::TestSlipsOnMemory",
        ("test_a_lot_begins_no_earlier_than_its_site",),
    ),
    Guard(
        "seller-uses",
        "the seller of resold nodes uses the grant",
        Mutant("marketplace.domain.delivery.grant", "if state.startup_id != issued.startup_id:", "if state is None:"),
        "test_held_resales.py::TestRaceOnMemory",
        ("test_who_passed_a_grant_on_sells_nothing_of_it",),
    ),
    Guard(
        "proposal-decided-again",
        "a proposal records what was agreed to",
        Mutant(
            f"{_COMMANDS}.equity.consents",
            "if _order(_render_all(effects)) != _order(made.effects):",
            "if not made.effects:",
        ),
        "test_consent_races.py::TestConsentsOnMemory",
        ("test_a_sale_and_a_change_of_what_it_rests_on_have_one_outcome",),
    ),
    Guard(
        "instruments-written",
        "the instruments of a round or a sale are as they were priced",
        Mutant(
            f"{_COMMANDS}.steps.company_acts",
            "await unit.decide(INSTRUMENT, conversion.instrument_id, conversion)",
            "INSTRUMENT.decide(conversion, await unit.load(INSTRUMENT, conversion.instrument_id))",
        ),
        "test_rule_races.py::TestRoundsOnMemory",
        ("test_a_round_closes_on_the_principal_that_it_was_priced_on",),
    ),
    Guard(
        "claim-computed-again",
        "a claim on a bond is no more than is owed",
        Mutant(
            f"{_COMMANDS}.billing.bonds",
            "structs.replace(command, most_usd=most, money_usd=money_usd, freed_at=freed_at)",
            "structs.replace(command, money_usd=money_usd, freed_at=freed_at)",
        ),
        "test_hostile_claims.py",
        ("test_a_credit_that_a_late_outage_raises_lowers_a_claim_that_waits",),
    ),
    Guard(
        "award-marked",
        "a grant among related parties is marked",
        Mutant(
            "marketplace.runtime.scheduling.late_marks",
            "                yield from self._check(event.grant_id)\n            case GrantMarked",
            "            case GrantMarked",
        ),
        "test_rule_races.py",
        ("test_an_award_is_marked_though_its_process_has_not_read_the_relation_of_its_parties",),
    ),
)
