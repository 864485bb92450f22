"""What the engine says in periods is told in instants and hours, and can be taken back to what it said."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from events.auction import Decision, PriceRange
from events.types import Reason
from marketplace.clearing import model
from marketplace.core.errors import Corrupt
from marketplace.core.horizon import Horizon
from marketplace.domain.trading.book.reason_text import conceal_decision, take_back_reason, tell_reason

HORIZON = Horizon(datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1), 30)
OUTBID = model.Reason(
    "outbid",
    "others took the capacity",
    {
        "start_period": "2",
        "nearest_start_that_wins": "9",
        "largest_nodes_that_win": "3",
        "longest_duration_that_wins": "2",
        "price_to_win_usd_per_gpu_hour": "2.51",
        "price_to_win_guarantee": "exact",
    },
)
HOPELESS = model.Reason(
    "never_feasible", "no pool has it", {"nearest_feasible_start": "4", "longest_duration_periods": "5"}
)

AT_THE_ASK = model.Reason(
    "below_ask",
    "worth 3.99 USD per GPU-hour where the cheapest asks come to 3.99",
    {
        "ask_usd_per_gpu_hour": "3.99",
        "value_usd_per_gpu_hour": "3.99",
        "price_to_win_usd_per_gpu_hour": "4",
        "price_to_win_guarantee": "exact",
    },
)
LIMITED = model.Reason("limit_reached", "12 is left, and it would take 99", {"limit_id": "power/sit_1"})


def test_a_reason_names_instants_and_hours_in_facts_and_words():
    told = tell_reason(HORIZON, OUTBID)
    assert told.facts["start_at"] == "2026-03-03T00:00:00Z"
    assert told.facts["nearest_start_that_wins_at"] == "2026-03-10T00:00:00Z"
    assert told.facts["longest_duration_that_wins_hours"] == "48"
    assert told.text == (
        "others took the capacity; at its own offer it would have won with a start at 2026-03-10T00:00:00Z,"
        " or with 3 nodes, or for 48 hours; at 2.51 USD per GPU-hour it would have won"
    )
    hopeless = tell_reason(HORIZON, HOPELESS)
    assert hopeless.facts["longest_duration_hours"] == "120"
    assert hopeless.text == "no pool has it; the nearest start that would do is 2026-03-05T00:00:00Z"


def test_a_price_to_win_is_told_as_money_and_taken_back_from_either_way_of_writing_it():
    said = model.Reason(OUTBID.code, OUTBID.text, {**OUTBID.facts, "price_to_win_usd_per_gpu_hour": "8.5"})
    told = tell_reason(HORIZON, said)
    assert told.text.endswith("; at 8.50 USD per GPU-hour it would have won")
    before = Reason(code=told.code, text=told.text.replace("8.50 USD", "8.5 USD"), facts=told.facts)
    assert take_back_reason(HORIZON, told) == take_back_reason(HORIZON, before) == said
    with pytest.raises(Corrupt):
        take_back_reason(HORIZON, Reason(code=told.code, text=told.text.replace("8.50 USD", "9 USD"), facts=told.facts))


def test_an_offer_of_exactly_the_ask_is_told_that_it_must_be_above():
    assert tell_reason(HORIZON, AT_THE_ASK).text == (
        f"{AT_THE_ASK.text}, and an offer wins only above the asks; at 4.00 USD per GPU-hour it would have won"
    )
    below = model.Reason("below_ask", "worth less", {**AT_THE_ASK.facts, "value_usd_per_gpu_hour": "3.98"})
    assert "above the asks" not in tell_reason(HORIZON, below).text


def test_a_limit_is_told_with_its_unit():
    told = tell_reason(HORIZON, LIMITED)
    assert (told.text, told.facts["limit_unit"]) == ("12 is left, and it would take 99 kW", "kW")


@pytest.mark.parametrize(
    "said", [OUTBID, HOPELESS, AT_THE_ASK, LIMITED, model.Reason("deferred", "there was no room", {})]
)
def test_what_was_told_is_taken_back_to_what_the_engine_said(said):
    assert take_back_reason(HORIZON, tell_reason(HORIZON, said)) == said


def test_another_instant_than_the_engines_is_no_reason_of_its():
    told = tell_reason(HORIZON, HOPELESS)
    told.facts["nearest_feasible_start_at"] = "2026-03-06T00:00:00Z"
    with pytest.raises(Corrupt):
        take_back_reason(HORIZON, told)


def decide(price: str, reason: model.Reason, guarantee: str = "exact") -> Decision:
    return Decision(
        order_id="ord_01jdm5v5tze1xa6a4sbz1gk3c4",
        reasons=(tell_reason(HORIZON, reason),),
        price_to_win_usd_per_gpu_hour=Decimal(price),
        price_to_win_range=PriceRange(
            guarantee=guarantee, lower_usd_per_gpu_hour=Decimal(price), upper_usd_per_gpu_hour=Decimal(price)
        ),
        regret_usd=Decimal(0),
    )


def test_a_loser_is_told_a_price_step_where_its_price_to_win_rests_on_the_offers_of_others():
    """8.17 was a winner's 16.00 for two nodes less the 7.83 of a loser that is open again."""
    facts = OUTBID.facts | {"ask_usd_per_gpu_hour": "2", "price_to_win_usd_per_gpu_hour": "8.17"}
    told = conceal_decision(decide("8.17", model.Reason("outbid", "others took the capacity", facts)))
    assert told.price_to_win_usd_per_gpu_hour == 9
    assert told.price_to_win_range == PriceRange(
        guarantee="indicative", lower_usd_per_gpu_hour=Decimal(8), upper_usd_per_gpu_hour=Decimal(9)
    )
    (reason,) = told.reasons
    assert reason.text.endswith("; it takes about 9.00 USD per GPU-hour to win")
    assert "8.17" not in str(told)


def test_a_price_to_win_a_cent_above_the_asks_is_told_exactly():
    decision = decide("4", AT_THE_ASK)
    assert conceal_decision(decision) == decision
