"""Reasons for people: the engine counts periods, and people read instants and hours.

What is added depends only on the engine's reason and the horizon. A published reason can therefore be converted back to
the engine's, whose hash the certificate contains.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Final

import msgspec

from events.auction import Decision, PriceRange
from events.plain_json import render_decimal
from events.types import Reason
from marketplace.clearing import model
from marketplace.clearing.money import say_rate
from marketplace.core.errors import Corrupt
from marketplace.core.horizon import Horizon
from marketplace.core.instants import render_instant
from marketplace.core.money import CENT
from marketplace.domain.trading.book.concealing import round_down_price, round_up_price

HOUR: Final = timedelta(hours=1)
STARTS: Final = {
    "start_period": "start_at",
    "nearest_feasible_start": "nearest_feasible_start_at",
    "nearest_start_that_wins": "nearest_start_that_wins_at",
}
"""Facts that are a period, and the facts with its first instant."""

LENGTHS: Final = {
    "longest_duration_periods": "longest_duration_hours",
    "longest_duration_that_wins": "longest_duration_that_wins_hours",
    "free_node_periods": "free_node_hours",
    "needed_node_periods": "needed_node_hours",
}
"""Facts that are a number of periods, and the facts with the number in hours."""

_PRICE: Final = "price_to_win_usd_per_gpu_hour"
_GUARANTEE: Final = "price_to_win_guarantee"
_ASK: Final = "ask_usd_per_gpu_hour"
UNITS: Final = {"power": "kW", "principal": "USD"}
"""The unit of a limit's amounts, by the first part of its id."""


def tell_reason(horizon: Horizon, reason: model.Reason) -> Reason:
    """Return an engine's reason with instants, hours and the unit of a limit added, to its facts and its text."""
    added = dict(_list_facts(horizon, reason))
    facts = {**reason.facts, **added}
    return Reason(code=reason.code, text=reason.text + _say(reason.code, facts), facts=facts)


def take_back_reason(horizon: Horizon, reason: Reason) -> model.Reason:
    """Return the engine's reason for a published one, of this release or of an earlier one.

    Earlier releases wrote prices in the text exactly as in the facts.

    Raises:
        Corrupt: The published reason has additions that do not follow from the engine's.
    """
    names = {*STARTS.values(), *LENGTHS.values(), "limit_unit"}
    plain = {name: fact for name, fact in reason.facts.items() if name not in names}
    endings = (_say(reason.code, reason.facts), _say(reason.code, reason.facts, str))
    ending = next((each for each in endings if reason.text.endswith(each)), "")
    found = model.Reason(reason.code, reason.text.removesuffix(ending), plain)
    if names & reason.facts.keys():
        facts = {**plain, **dict(_list_facts(horizon, found))}
        if facts != reason.facts or not reason.text.endswith(endings):
            raise Corrupt(
                f"the reason {reason.code} states instants or hours that differ from the engine's: {reason.facts}"
            )
    return found


def conceal_decision(decision: Decision) -> Decision:
    """Return a decision as its startup may read it: a price to win that rests on others' offers becomes a price step.

    Orders that lost may be open again with the same sealed offers, and exact prices would tell what these are. A price
    of at most a cent above the asks rests on nobody's offer and stays exact.
    """
    price, proven = decision.price_to_win_usd_per_gpu_hour, decision.price_to_win_range
    asks = [Decimal(reason.facts[_ASK]) for reason in decision.reasons if _ASK in reason.facts]
    if price is None or any(price <= ask + CENT for ask in asks):
        return decision
    step = round_up_price(price)
    if proven is not None:
        upper = proven.upper_usd_per_gpu_hour
        proven = PriceRange(
            guarantee="indicative",
            lower_usd_per_gpu_hour=round_down_price(proven.lower_usd_per_gpu_hour),
            upper_usd_per_gpu_hour=None if upper is None else round_up_price(upper),
        )
    return msgspec.structs.replace(
        decision,
        price_to_win_usd_per_gpu_hour=step,
        price_to_win_range=proven,
        reasons=tuple(_conceal_reason(reason, step) for reason in decision.reasons),
    )


def _conceal_reason(reason: Reason, step: Decimal) -> Reason:
    if _PRICE not in reason.facts:
        return reason
    facts = reason.facts | {_PRICE: render_decimal(step), _GUARANTEE: "indicative"}
    text = reason.text.removesuffix(_say(reason.code, reason.facts)) + _say(reason.code, facts)
    return Reason(code=reason.code, text=text, facts=facts)


def _list_facts(horizon: Horizon, reason: model.Reason) -> Iterator[tuple[str, str]]:
    for name, told in STARTS.items():
        if name in reason.facts:
            yield told, render_instant(horizon.at(int(reason.facts[name])))
    for name, told in LENGTHS.items():
        if name in reason.facts:
            yield told, str(int(reason.facts[name]) * (horizon.period // HOUR))
    unit = UNITS.get(reason.facts.get("limit_id", "").split("/")[0])
    if unit is not None:
        yield "limit_unit", unit


def _say(code: str, facts: dict[str, str], say_price: Callable[[str], str] = say_rate) -> str:
    """Return what the facts add to the sentence; empty if nothing."""
    said = f" {facts['limit_unit']}" if "limit_unit" in facts else ""
    if code == "below_ask" and facts.get("value_usd_per_gpu_hour") == facts.get("ask_usd_per_gpu_hour", ""):
        said += ", and an offer wins only above the asks"
    if "nearest_feasible_start_at" in facts:
        said += f"; the nearest start that would do is {facts['nearest_feasible_start_at']}"
    changes = list(_list_changes(facts))
    if changes:
        said += f"; at its own offer it would have won {', or '.join(changes)}"
    if _PRICE in facts:
        price = f"{say_price(facts[_PRICE])} USD per GPU-hour"
        exact = facts.get(_GUARANTEE) == "exact"
        said += f"; at {price} it would have won" if exact else f"; it takes about {price} to win"
    return said


def _list_changes(facts: dict[str, str]) -> Iterator[str]:
    if "nearest_start_that_wins_at" in facts:
        yield f"with a start at {facts['nearest_start_that_wins_at']}"
    if "largest_nodes_that_win" in facts:
        yield f"with {facts['largest_nodes_that_win']} nodes"
    if "longest_duration_that_wins_hours" in facts:
        yield f"for {facts['longest_duration_that_wins_hours']} hours"
