"""One call from a book to a clearing, the same every time."""

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from marketplace.clearing.arrays.allocation import Allocation
from marketplace.clearing.arrays.grid import Grid, compile_book
from marketplace.clearing.book import check_book
from marketplace.clearing.codec import hash_book, hash_json, render_decisions, render_prices
from marketplace.clearing.explain.idle_supply import list_idle_supply, sum_idle_supply
from marketplace.clearing.explain.reasons import list_reasons, regret_micros
from marketplace.clearing.explain.second_best import SecondBests
from marketplace.clearing.explain.winning import PriceToWin, can_be_exact, price_to_win
from marketplace.clearing.model import Book, Certificate, Clearing, Decision, LotShare, Match, Order, PriceRange
from marketplace.clearing.money import MICRO, micro, ratio_up, usd, usd_of
from marketplace.clearing.program.bound import render_shadow
from marketplace.clearing.program.pricing import Micros, render_price_runs, set_prices, share_lots
from marketplace.clearing.search.backstop import serve_backstops
from marketplace.clearing.search.marginal import count_hours
from marketplace.clearing.search.solving import Solved, solve
from marketplace.clearing.search.worker_pool import THREADS, WorkerPools, map_isolated

ENGINE_VERSION = "clearing-19"
PARTS = 16
"""The number of parts in which losers are explained, so that no worker ends with a long one."""


def clear(book: Book, *, seed: int, iterations: int | None = None, workers: WorkerPools = THREADS) -> Clearing:
    """Clear a book: matches, uniform prices, one decision per order, and a certificate.

    Backstop orders are decided in `backstops`, apart from the others.

    Args:
        book: What to decide about.
        seed: Decides every random choice of the search; the same book, seed and iterations give the same answer.
        iterations: Rounds of the neighbourhood search; None chooses by the size of the book.
        workers: Where tasks run in parallel; it changes the time taken and nothing else.

    Raises:
        Refusal: As `check_book`, where the book breaks a rule.
    """
    check_book(book)
    solved = solve(compile_book(book), seed, iterations, workers)
    prices = set_prices(solved.allocation)
    return _render(_Answer(book, solved, prices, seed, can_be_exact(solved), workers))


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the search found, before it is published."""

    book: Book
    solved: Solved
    prices: list[Micros]
    seed: int
    exactly: bool
    workers: WorkerPools

    @property
    def allocation(self) -> Allocation:
        return self.solved.allocation


def _render(answer: _Answer) -> Clearing:
    book, allocation = answer.book, answer.allocation
    runs = render_price_runs(allocation, [pool.pool_id for pool in book.pools], answer.prices)
    decisions = _decide(answer)
    backstops = serve_backstops(book, decisions)
    idle = list_idle_supply(allocation, answer.prices, (*decisions, *backstops))
    welfare = usd(welfare_micros(book, allocation.grid, decisions))
    bound_usd, most = usd_of(answer.solved.bound), max(usd_of(answer.solved.dual_bound), welfare)
    certificate = Certificate(
        hash_book(book),
        ENGINE_VERSION,
        answer.seed,
        answer.solved.rounds,
        welfare,
        bound_usd,
        ratio_up(bound_usd - welfare, bound_usd),
        hash_json(render_prices(runs)),
        hash_json(render_decisions((*decisions, *backstops))),
        *_measure_price_loss(answer.solved, welfare, most),
        most,
        sum_idle_supply(book, idle),
    )
    shadow = answer.solved.shadow
    rules = () if shadow.rules is None else shadow.rules.render()
    return Clearing(runs, decisions, certificate, render_shadow(shadow), rules, backstops, idle)


def _measure_price_loss(
    solved: Solved, welfare: Decimal, most: Decimal
) -> tuple[Decimal, Literal["optimum", "lp_bound"]]:
    """Return the most that price rules cost, as a share of the best allocation without them, and the kind of proof."""
    if solved.unpriced is None:
        best = usd_of(solved.bound)
        return ratio_up(best - welfare, best), "lp_bound"
    return ratio_up(most - welfare, most), "optimum"


def _decide(answer: _Answer) -> tuple[Decision, ...]:
    matches: dict[int, Match] = {}
    for pool in range(len(answer.book.pools)):
        for order, shares in share_lots(answer.allocation, pool).items():
            matches[order] = _match(answer, order, shares)
    seconds = SecondBests(answer.book, answer.allocation, answer.prices, matches)
    losers = _explain_all(answer, [order for order in range(len(answer.book.orders)) if order not in matches])
    return tuple(
        Decision(
            request.order_id,
            matches[order],
            (),
            None,
            Decimal(0),
            second_best=seconds.find(order, matches[order]),
        )
        if order in matches
        else losers[order]
        for order, request in enumerate(answer.book.orders)
    )


def _match(answer: _Answer, order: int, shares: tuple[LotShare, ...]) -> Match:
    placing = answer.allocation.placed[order]
    if placing is None:
        raise AssertionError(f"order {order} has lots but no placement")
    candidate, start = placing
    request = answer.book.orders[order]
    at = answer.allocation.grid.candidates[candidate]
    bid, end = request.bids[at.bid], start + request.duration_periods
    price = Fraction(int(answer.prices[at.pool][start:end].sum()), request.duration_periods * MICRO)
    return Match(
        bid.pool_id,
        bid.mandate_id,
        at.nodes,
        start,
        end,
        shares,
        bid.value_usd_per_gpu_hour,
        price,
        usd_of(price * count_hours(answer.allocation.grid, candidate)),
    )


def _explain_all(answer: _Answer, orders: list[int]) -> dict[int, Decision]:
    """Explain losers. Equal orders share one explanation, unless prices are exact or the book has rules."""
    alone = answer.exactly or answer.allocation.grid.rules is not None
    first: dict[Order, int] = {}
    same: dict[int, int] = {}
    for order in orders:
        request = answer.book.orders[order]
        same[order] = first.setdefault(request if alone else replace(request, order_id=""), order)
    parts = [list(first.values())[at::PARTS] for at in range(PARTS)]
    told = {
        decision.order_id: decision
        for part in map_isolated(answer.workers, answer, _explain_part, parts)
        for decision in part
    }
    ids = [request.order_id for request in answer.book.orders]
    return {order: replace(told[ids[other]], order_id=ids[order]) for order, other in same.items()}


def _explain_part(answer: _Answer, orders: list[int]) -> list[Decision]:
    return [_explain(answer, order) for order in orders]


def _explain(answer: _Answer, order: int) -> Decision:
    price = price_to_win(answer.solved, answer.seed, order, exactly=answer.exactly)
    reasons = list_reasons(answer.book, answer.allocation, answer.prices, order, price)
    regret = regret_micros(answer.allocation, answer.prices, order)[0]
    order_id = answer.book.orders[order].order_id
    if price is None:
        return Decision(order_id, None, reasons, None, usd(regret))
    return Decision(order_id, None, reasons, usd(price.value_micro), usd(regret), _range(price))


def _range(price: PriceToWin) -> PriceRange:
    upper = None if price.upper_micro is None else usd(price.upper_micro)
    return PriceRange("exact" if price.exact else "indicative", usd(price.lower_micro), upper)


def welfare_micros(book: Book, grid: Grid, decisions: tuple[Decision, ...]) -> int:
    """Return accepted value less asks in micro-dollars, exact, from the published matches."""
    asks = {
        (lot_id, period): ask
        for arrays in grid.pool_arrays
        for step, (lot_id, ask) in enumerate(zip(arrays.lot_ids, arrays.asks_micro, strict=True))
        for period in range(grid.periods)
        if arrays.offered[step, period]
    }
    gpus = {pool.pool_id: pool.gpus_per_node for pool in book.pools}
    total = 0
    for decision in decisions:
        match = decision.match
        if match is None:
            continue
        hours = gpus[match.pool_id] * book.period_hours
        value = micro(match.value_usd_per_gpu_hour)
        total += value * match.nodes * (match.end_period - match.start_period) * hours
        for share in match.lots:
            for period in range(share.from_period, share.to_period):
                total -= asks[share.lot_id, period] * share.nodes * hours
    return total
