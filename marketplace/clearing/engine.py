"""One call from a book to a clearing, the same every time."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from marketplace.clearing.allocation import Allocation
from marketplace.clearing.book import check_book
from marketplace.clearing.bound import Shadow, bound_of, render_shadow, solve_relaxation
from marketplace.clearing.codec import hash_book, hash_json, render_decisions, render_prices
from marketplace.clearing.grid import Grid, compile_book
from marketplace.clearing.marginal import find_entries
from marketplace.clearing.model import Book, Certificate, Clearing, Decision, Match
from marketplace.clearing.money import ratio_up, usd, usd_of
from marketplace.clearing.pricing import Micros, render_price_runs, set_prices, share_lots
from marketplace.clearing.program import RowTable, WayTable, list_columns
from marketplace.clearing.reasons import list_reasons, regret_micros
from marketplace.clearing.search import greedy

ENGINE_VERSION = "clearing-1"


def clear(book: Book, *, seed: int, iterations: int | None = None) -> Clearing:
    """Clear a book: matches, uniform prices, one decision per order, and a certificate.

    Args:
        book: What to decide about.
        seed: Decides ties of the search; the same book, seed and iterations give the same answer.
        iterations: Rounds of the neighbourhood search; None chooses by the size of the book.

    Raises:
        Refusal: As `check_book`, where the book breaks a rule.
    """
    check_book(book)
    grid = compile_book(book)
    ways, table, columns = WayTable(grid), RowTable(grid), list_columns(grid)
    shadow = solve_relaxation(grid, ways, table, columns, seed)
    bound = bound_of(grid, ways, columns, shadow)
    allocation = greedy(grid, shadow)
    rounds = 0 if iterations is None else iterations
    prices = set_prices(allocation, shadow)
    return _render(_Answer(book, allocation, shadow, bound, prices), seed, rounds)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the search found, before it is published."""

    book: Book
    allocation: Allocation
    shadow: Shadow
    bound: Fraction
    prices: list[Micros]


def _render(answer: _Answer, seed: int, iterations: int) -> Clearing:
    book, allocation, shadow, prices = answer.book, answer.allocation, answer.shadow, answer.prices
    runs = render_price_runs(allocation, [pool.pool_id for pool in book.pools], prices)
    decisions = _decide(book, allocation, shadow, prices)
    welfare = usd(welfare_micros(book, allocation.grid, decisions))
    bound_usd = usd_of(answer.bound)
    certificate = Certificate(
        hash_book(book),
        ENGINE_VERSION,
        seed,
        iterations,
        welfare,
        bound_usd,
        ratio_up(bound_usd - welfare, bound_usd),
        hash_json(render_prices(runs)),
        hash_json(render_decisions(decisions)),
    )
    return Clearing(runs, decisions, certificate, render_shadow(shadow))


def _decide(book: Book, allocation: Allocation, shadow: Shadow, prices: list[Micros]) -> tuple[Decision, ...]:
    matches: dict[int, Match] = {}
    for pool in range(len(book.pools)):
        for order, shares in share_lots(allocation, pool).items():
            placing = allocation.placed[order]
            if placing is None:
                raise AssertionError(f"order {order} has lots but no placement")
            way, start = placing
            request, bid = book.orders[order], book.orders[order].bids[allocation.grid.ways[way].bid]
            end = start + request.duration_periods
            price = Fraction(int(prices[pool][start:end].sum()), request.duration_periods * 1_000_000)
            matches[order] = Match(
                bid.pool_id, bid.mandate_id, request.nodes, start, end, shares, bid.value_usd_per_gpu_hour, price
            )
    return tuple(
        Decision(request.order_id, matches[order], (), None, Decimal(0))
        if order in matches
        else _explain(book, allocation, shadow, prices, order)
        for order, request in enumerate(book.orders)
    )


def _explain(book: Book, allocation: Allocation, shadow: Shadow, prices: list[Micros], order: int) -> Decision:
    entries = find_entries(allocation, shadow, order)
    to_win = entries[0].value_micro if entries else None
    reasons = list_reasons(book, allocation, prices, order, to_win)
    regret = regret_micros(allocation, prices, order)[0]
    return Decision(book.orders[order].order_id, None, reasons, None if to_win is None else usd(to_win), usd(regret))


def welfare_micros(book: Book, grid: Grid, decisions: tuple[Decision, ...]) -> int:
    """Return accepted value less asks in micro-dollars, exact, from the published matches."""
    asks = {
        (lot_id, period): ask
        for yard in grid.yards
        for step, (lot_id, ask) in enumerate(zip(yard.lot_ids, yard.asks_micro, strict=True))
        for period in range(grid.periods)
        if yard.offered[step, period]
    }
    gpus = {pool.pool_id: pool.gpus_per_node for pool in book.pools}
    total = 0
    for decision in decisions:
        match = decision.match
        if match is None:
            continue
        hours = gpus[match.pool_id] * book.period_hours
        value = int(match.value_usd_per_gpu_hour * 1_000_000)
        total += value * match.nodes * (match.end_period - match.start_period) * hours
        for share in match.lots:
            for period in range(share.from_period, share.to_period):
                total -= asks[share.lot_id, period] * share.nodes * hours
    return total
