"""What goes into a clearing and what comes out, as plain values.

Every number is exact: quantities are integers, prices `Decimal` with at most six places, a mean price is a `Fraction`.
Periods count from zero, spans are half-open `[from_period, to_period)`. Money is US dollars, prices are US dollars per
GPU-hour, and the GPU-hours of an order are nodes x GPUs per node x duration in periods x hours of a period.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal


@dataclass(frozen=True, slots=True)
class Pool:
    """One fabric; an order is placed whole on one pool."""

    pool_id: str
    gpus_per_node: int


@dataclass(frozen=True, slots=True)
class Lot:
    """Nodes of a pool that are unsold in each period of a span, at one ask.

    The same `lot_id` may recur with disjoint spans, which is how a partly sold lot states what is left of it.
    """

    lot_id: str
    pool_id: str
    nodes: int
    from_period: int
    to_period: int
    ask_usd_per_gpu_hour: Decimal


@dataclass(frozen=True, slots=True)
class Bid:
    """One way to serve an order: a pool, what the order is worth there, and the lots that may carry it.

    `lot_ids` None stands for every lot of the pool. A lot id that the book does not list is a lot with nothing left.
    `sizes` None stands for every size of the order, else for some of them.
    """

    pool_id: str
    value_usd_per_gpu_hour: Decimal
    lot_ids: frozenset[str] | tuple[str, ...] | None = None
    mandate_id: str | None = None
    uses: tuple["Use", ...] = ()
    sizes: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """What a bid takes of a limit for each node that runs, in each period that it runs."""

    limit_id: str
    amount_per_node_period: Decimal


@dataclass(frozen=True, slots=True)
class Limit:
    """What accepted bids may take together, in any unit: a budget, a share of a risk, kilowatts.

    Without a span it holds over all periods together, with one it holds in each period of `[from_period, to_period)`;
    then the same `limit_id` may recur with disjoint spans, and binds in these only.
    """

    limit_id: str
    amount: Decimal
    from_period: int | None = None
    to_period: int | None = None


@dataclass(frozen=True, slots=True)
class Remedy:
    """Values by which one constraint (`wish`) of an order that no lot meets could be replaced."""

    wish: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """An all-or-nothing request for nodes over consecutive periods, starting inside an inclusive window.

    Attributes:
        nodes: The size that it asks for.
        sizes: Other sizes that would do as well, each at the same value per GPU-hour.
        group_id: At most one order of a group is accepted.
        parent_id: An order without which this one is not accepted.
        conflict: Constraints that no lot meets together; the reasons name them if no bid could serve the order.
        remedies: Values that could replace members of the conflict.
    """

    order_id: str
    nodes: int
    duration_periods: int
    start_earliest: int
    start_latest: int
    bids: tuple[Bid, ...]
    sizes: tuple[int, ...] = ()
    group_id: str | None = None
    parent_id: str | None = None
    conflict: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()


@dataclass(frozen=True, slots=True)
class Book:
    """Everything that one auction decides about; `backstops` are served with what `orders` leave."""

    period_hours: int
    periods: int
    pools: tuple[Pool, ...]
    lots: tuple[Lot, ...]
    orders: tuple[Order, ...]
    limits: tuple[Limit, ...] = ()
    backstops: tuple[Order, ...] = ()


@dataclass(frozen=True, slots=True)
class LotShare:
    """Nodes of one lot that carry a match in each period of a span."""

    lot_id: str
    nodes: int
    from_period: int
    to_period: int


@dataclass(frozen=True, slots=True)
class Match:
    """Where and when an accepted order runs, and at what price.

    `value_usd_per_gpu_hour` is the value of its bid, and `mandate_id` is None for cash alone. The price is the mean of
    the pool's period prices over the run, exact; `total_usd` is that times the order's GPU-hours.
    """

    pool_id: str
    mandate_id: str | None
    nodes: int
    start_period: int
    end_period: int
    lots: tuple[LotShare, ...]
    value_usd_per_gpu_hour: Decimal
    price_usd_per_gpu_hour: Fraction
    total_usd: Decimal


@dataclass(frozen=True, slots=True)
class SecondBest:
    """The other placement that would have been worth most to an accepted order at the published prices.

    `surplus_difference_usd` is the surplus of the match, value less price, over that of this placement; below zero
    where the order would have gained more here.
    """

    pool_id: str
    mandate_id: str | None
    nodes: int
    start_period: int
    surplus_difference_usd: Decimal


@dataclass(frozen=True, slots=True)
class PriceRange:
    """What is proven about a price to win.

    `guarantee` is `exact` (the price wins and a cent less loses) or `indicative`: then no optimal clearing has the
    order under `lower_usd_per_gpu_hour`, and every one has it from `upper_usd_per_gpu_hour` on, None where that is more
    than an offer may be.
    """

    guarantee: Literal["exact", "indicative"]
    lower_usd_per_gpu_hour: Decimal
    upper_usd_per_gpu_hour: Decimal | None


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason why an order was not matched: a stable code, a sentence, and the facts in it by name, as text."""

    code: str
    text: str
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the auction decided for one order; of several reasons the first is decisive.

    `regret_usd` is what an unmatched order would have gained at the published prices, zero out of the money. A price to
    win is what each of the order's bids would have to be worth at least; `price_to_win_range` says how sure it is.
    """

    order_id: str
    match: Match | None
    reasons: tuple[Reason, ...]
    price_to_win_usd_per_gpu_hour: Decimal | None
    regret_usd: Decimal
    price_to_win_range: PriceRange | None = None
    second_best: SecondBest | None = None


@dataclass(frozen=True, slots=True)
class PriceRun:
    """The uniform price of a pool in each period of a span."""

    pool_id: str
    from_period: int
    to_period: int
    price_usd_per_gpu_hour: Decimal


@dataclass(frozen=True, slots=True)
class IdleSupply:
    """Idle nodes of a lot that asks less than the price in each period of a span, and why the price is not lower.

    With the cause `used_lot`, a lot in use asks exactly the price. With `rejected_orders`, rejected orders would forgo
    more if the price of the period were the lowest ask of its idle nodes.
    """

    lot_id: str
    nodes: int
    from_period: int
    to_period: int
    ask_usd_per_gpu_hour: Decimal
    price_usd_per_gpu_hour: Decimal
    cause: Literal["used_lot", "rejected_orders"]


@dataclass(frozen=True, slots=True)
class ShadowPrice:
    """A dual price of a lot in each period of a span; together they prove the upper bound on welfare."""

    lot_id: str
    from_period: int
    to_period: int
    price_usd_per_gpu_hour: Decimal


@dataclass(frozen=True, slots=True)
class RulePrice:
    """A dual price of a limit's unit, of a group or of a link, which is part of the proof of the upper bound.

    `rule` is `limit`, `group` or `link`, and `rule_id` the limit's, the group's or the dependent order's id. A span is
    given where the limit holds in each period.
    """

    rule: str
    rule_id: str
    price_usd: Decimal
    from_period: int | None = None
    to_period: int | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """What lets an outsider recompute or check a clearing.

    `gap` is (bound - welfare) / bound, rounded up to six places, zero where the bound is zero. `price_loss_max` is what
    uniform prices cost at most, as a share of the best allocation without price rules. Where `price_loss_kind` is
    "optimum" the engine proved that optimum; where it is "lp_bound" the bound stands for it, and the share is the gap.
    No allocation, with or without price rules, is worth more than `dual_bound_usd`, by the engine's cuts and integer
    programs; it is at most the bound. All three are None in certificates of earlier engines.
    `idle_supply_usd` is what the nodes of `Clearing.idle_supply` would earn above their asks at the published prices.
    """

    book_hash: str
    engine_version: str
    seed: int
    iterations: int
    welfare_usd: Decimal
    lp_bound_usd: Decimal
    gap: Decimal
    prices_hash: str
    decisions_hash: str
    price_loss_max: Decimal | None = None
    price_loss_kind: Literal["optimum", "lp_bound"] | None = None
    dual_bound_usd: Decimal | None = None
    idle_supply_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Clearing:
    """The result of one auction: prices, one decision per order in the book's order, and the certificate.

    `backstops` are the decisions of the book's backstop orders; each pays the price that it set.
    """

    prices: tuple[PriceRun, ...]
    decisions: tuple[Decision, ...]
    certificate: Certificate
    shadow_prices: tuple[ShadowPrice, ...] = ()
    rule_prices: tuple[RulePrice, ...] = ()
    backstops: tuple[Decision, ...] = ()
    idle_supply: tuple[IdleSupply, ...] = ()
