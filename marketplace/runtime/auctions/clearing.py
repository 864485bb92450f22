"""Run the engine: convert between the frozen book in the log and the engine's model, and verify the engine's answer.

Only a result that the verifier accepts is published. The verifier shares no code with the engine.

A worker also keeps time, projects and settles. If the engine crashed, hung or used up the memory, all of that would
stop, and stop again after each restart, because the book is the same. `marketplace serve` therefore runs the engine in
a process of its own (`EngineInProcess`), whose program is this module. If that process fails, the run failed with a
reason, and the worker goes on. The time limit decides only whether there is a result, never which.

The process reads a task from standard input and writes the answer to standard output. It ends with the worker that
started it, even if that worker is killed. It also asks to be ended first when memory runs out, so that neither the
worker nor a server on the machine is.
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal, Protocol, cast

import msgspec

from events.auction import (
    AuctionOpened,
    Certificate,
    Decision,
    IdleSupply,
    MatchTerms,
    Price,
    PriceRange,
    RulePrice,
    SecondBest,
    ShadowPrice,
)
from events.book import Book, BookOrder
from events.types import LotShare
from marketplace.clearing import model
from marketplace.clearing.codec import hash_book
from marketplace.clearing.engine import clear
from marketplace.clearing.program.pricing import render_price_runs, set_prices
from marketplace.clearing.quotes.prepared_book import prepare
from marketplace.clearing.search.worker_pool import THREADS, WorkerPools
from marketplace.clearing.verify.verifier import verify
from marketplace.core.errors import Corrupt, MarketplaceError
from marketplace.core.horizon import Horizon, build_horizon
from marketplace.core.ids import derive_id
from marketplace.core.money import parse_ratio, render_ratio
from marketplace.domain.trading.auction import ClearAuction, Result
from marketplace.domain.trading.book.reason_text import take_back_reason, tell_reason
from marketplace.runtime.auctions.forking import choose_workers, end_with
from marketplace.runtime.process.config import CLEARING_SECONDS_MAX

COMMAND: Final = (sys.executable, "-m", "marketplace.runtime.auctions.clearing")
"""Runs the engine once; this process's id is added as an argument."""
OUT_OF_MEMORY_SCORE: Final = 1_000
"""Linux's score for the first process to end. Any process may raise its own score."""


class ToClear(msgspec.Struct, frozen=True, tag="clear"):
    """A frozen book to clear."""

    opened: AuctionOpened
    book: Book


class ToPrice(msgspec.Struct, frozen=True, tag="price"):
    """A current book, to compute its prices."""

    book: Book
    seed: int


class Cleared(msgspec.Struct, frozen=True, tag="cleared"):
    """A result that the verifier accepted."""

    result: ClearAuction


class Priced(msgspec.Struct, frozen=True, tag="priced"):
    """Indicative prices."""

    prices: tuple[Price, ...]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """No result, and the reason."""

    reason: str


Answer = Cleared | Priced | Failed


class Engine(Protocol):
    """The interface of the engine to the auctioneer. If `clear` or `price` raises anything, there is no result."""

    async def clear(self, opened: AuctionOpened, book: Book) -> ClearAuction:
        """Return the verified result of a frozen book."""
        ...

    async def price(self, book: Book, seed: int) -> tuple[Price, ...]:
        """Return the uniform prices of a book."""
        ...


class EngineInThread:
    """Runs the engine in a thread of this process, for tests and books that are known to be harmless."""

    async def clear(self, opened: AuctionOpened, book: Book) -> ClearAuction:
        """Return the verified result of a frozen book."""
        return await asyncio.to_thread(clear_book, opened, book)

    async def price(self, book: Book, seed: int) -> tuple[Price, ...]:
        """Return the uniform prices of a book."""
        return await asyncio.to_thread(price_book, book, seed)


class EngineInProcess:
    """Runs the engine in a new process for each run, which ends when this process does.

    Args:
        seconds_max: The longest time of a run in seconds; then the process is killed.
        command: The program to run. It reads a task from standard input and writes its answer to standard output.
    """

    def __init__(self, seconds_max: float = CLEARING_SECONDS_MAX, command: Sequence[str] = COMMAND) -> None:
        self._seconds_max = seconds_max
        self._command = command

    async def clear(self, opened: AuctionOpened, book: Book) -> ClearAuction:
        """Return the verified result of a frozen book.

        Raises:
            MarketplaceError: The run failed; the text says how.
        """
        answer = await self._run(ToClear(opened, book))
        if not isinstance(answer, Cleared):
            raise MarketplaceError(_tell(answer))
        return answer.result

    async def price(self, book: Book, seed: int) -> tuple[Price, ...]:
        """Return the uniform prices of a book.

        Raises:
            MarketplaceError: The run failed; the text says how.
        """
        answer = await self._run(ToPrice(book, seed))
        if not isinstance(answer, Priced):
            raise MarketplaceError(_tell(answer))
        return answer.prices

    async def _run(self, task: ToClear | ToPrice) -> Answer:
        process = await asyncio.create_subprocess_exec(
            *self._command, str(os.getpid()), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(self._seconds_max):
                output, _ = await process.communicate(msgspec.msgpack.encode(task))
        except TimeoutError as error:
            raise MarketplaceError(
                f"the engine gave no answer within {self._seconds_max:,.0f} s and was stopped"
            ) from error
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return _parse_answer(output, await process.wait())


def _parse_answer(output: bytes, code: int) -> Answer:
    """Return the answer that a process with this exit code gave.

    Raises:
        MarketplaceError: It failed, or its answer cannot be read.
    """
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        hint = ", as the system does where memory runs out" if -code == signal.SIGKILL else ""
        raise MarketplaceError(f"the engine's process was ended by signal {name}{hint}")
    if code:
        raise MarketplaceError(f"the engine's process ended with code {code} and no answer; its output says why")
    try:
        answer: Answer = msgspec.msgpack.decode(output, type=Answer)
    except msgspec.DecodeError as error:
        raise MarketplaceError(f"the answer of the engine's process cannot be read: {error}") from error
    return answer


def _tell(answer: Answer) -> str:
    return answer.reason if isinstance(answer, Failed) else f"the engine answered {type(answer).__name__} instead"


def tell_failure(error: Exception) -> str:
    """Return in words why a run gave no result. An error without a text is described by its type."""
    if isinstance(error, MemoryError):
        return "the engine ran out of memory"
    if isinstance(error, MarketplaceError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def parse_book(book: Book) -> model.Book:
    """Convert a frozen book to the engine's model."""
    return model.Book(
        period_hours=book.period_hours,
        periods=book.periods,
        pools=tuple(model.Pool(pool.pool_id, pool.gpus_per_node) for pool in book.pools),
        lots=tuple(
            model.Lot(lot.lot_id, lot.pool_id, lot.nodes, lot.from_period, lot.to_period, lot.ask_usd_per_gpu_hour)
            for lot in book.lots
        ),
        orders=tuple(parse_order(order) for order in book.orders),
        limits=tuple(
            model.Limit(limit.limit_id, limit.amount, limit.from_period, limit.to_period) for limit in book.limits
        ),
        backstops=tuple(parse_order(order) for order in book.backstops),
    )


def parse_order(order: BookOrder) -> model.Order:
    """Convert an order of a book to the engine's model."""
    return model.Order(
        order.order_id,
        order.nodes,
        order.duration_periods,
        order.start_earliest,
        order.start_latest,
        tuple(
            model.Bid(
                bid.pool_id,
                bid.value_usd_per_gpu_hour,
                bid.lot_ids,
                bid.mandate_id,
                tuple(model.Use(use.limit_id, use.amount_per_node_period) for use in bid.uses),
                bid.sizes,
            )
            for bid in order.bids
        ),
        order.sizes,
        order.group_id,
        order.parent_id,
        order.conflict,
        tuple(model.Remedy(remedy.wish, remedy.values) for remedy in order.remedies),
    )


def compute_book_hash(book: Book) -> str:
    """Return the hash that the engine's certificate will state."""
    return hash_book(parse_book(book))


def clear_book(opened: AuctionOpened, frozen: Book, workers: WorkerPools = THREADS) -> ClearAuction:
    """Clear a frozen book, verify the answer, and return the command that publishes it.

    Args:
        opened: The auction, with its horizon and seed.
        frozen: The book.
        workers: What works in parallel; it does not change the answer.

    Raises:
        Refusal: The engine does not accept the book.
        MarketplaceError: The verifier rejected the answer.
    """
    book = parse_book(frozen)
    clearing = clear(book, seed=opened.seed, workers=workers)
    verify(book, clearing)
    return render_result(opened, clearing)


def price_book(book: Book, seed: int) -> tuple[Price, ...]:
    """Return the uniform prices of a book, without the engine's full search.

    Raises:
        Refusal: The engine does not accept the book.
    """
    plain = parse_book(book)
    solved = prepare(plain, seed=seed).solved
    prices = set_prices(solved.allocation)
    runs = render_price_runs(solved.allocation, [pool.pool_id for pool in plain.pools], prices)
    return tuple(_render_price(run) for run in runs)


def _render_price(run: model.PriceRun) -> Price:
    return Price(
        pool_id=run.pool_id,
        from_period=run.from_period,
        to_period=run.to_period,
        price_usd_per_gpu_hour=run.price_usd_per_gpu_hour,
    )


def render_result(opened: AuctionOpened, clearing: model.Clearing) -> ClearAuction:
    """Return the command that publishes a clearing."""
    horizon = build_horizon(opened)
    certificate = clearing.certificate
    return ClearAuction(
        auction_id=opened.auction_id,
        prices=tuple(_render_price(run) for run in clearing.prices),
        decisions=tuple(
            _render_decision(opened, horizon, decision) for decision in (*clearing.decisions, *clearing.backstops)
        ),
        certificate=Certificate(
            book_hash=certificate.book_hash,
            engine_version=certificate.engine_version,
            seed=certificate.seed,
            iterations=certificate.iterations,
            welfare_usd=certificate.welfare_usd,
            lp_bound_usd=certificate.lp_bound_usd,
            gap=certificate.gap,
            prices_hash=certificate.prices_hash,
            decisions_hash=certificate.decisions_hash,
            price_loss_max=certificate.price_loss_max,
            price_loss_kind=certificate.price_loss_kind,
            dual_bound_usd=certificate.dual_bound_usd,
            idle_supply_usd=certificate.idle_supply_usd,
        ),
        shadow_prices=tuple(
            ShadowPrice(
                lot_id=shadow.lot_id,
                from_period=shadow.from_period,
                to_period=shadow.to_period,
                price_usd_per_gpu_hour=shadow.price_usd_per_gpu_hour,
            )
            for shadow in clearing.shadow_prices
        ),
        rule_prices=tuple(
            RulePrice(
                rule=cast("Literal['limit', 'group', 'link']", price.rule),
                rule_id=price.rule_id,
                price_usd=price.price_usd,
                from_period=price.from_period,
                to_period=price.to_period,
            )
            for price in clearing.rule_prices
        ),
        idle_supply=tuple(
            IdleSupply(**{name: getattr(idle, name) for name in IdleSupply.__struct_fields__})
            for idle in clearing.idle_supply
        ),
    )


def _render_decision(opened: AuctionOpened, horizon: Horizon, decision: model.Decision) -> Decision:
    match, proven, second = decision.match, decision.price_to_win_range, decision.second_best
    return Decision(
        order_id=decision.order_id,
        match=None if match is None else _render_match(opened, horizon, decision.order_id, match),
        reasons=tuple(tell_reason(horizon, reason) for reason in decision.reasons),
        price_to_win_usd_per_gpu_hour=decision.price_to_win_usd_per_gpu_hour,
        price_to_win_range=None if proven is None else _render_range(proven),
        regret_usd=decision.regret_usd,
        total_usd=None if match is None else match.total_usd,
        second_best=None if second is None else _render_second(horizon, second),
    )


def _render_range(proven: model.PriceRange) -> PriceRange:
    return PriceRange(
        guarantee=proven.guarantee,
        lower_usd_per_gpu_hour=proven.lower_usd_per_gpu_hour,
        upper_usd_per_gpu_hour=proven.upper_usd_per_gpu_hour,
    )


def _render_second(horizon: Horizon, second: model.SecondBest) -> SecondBest:
    return SecondBest(
        pool_id=second.pool_id,
        mandate_id=second.mandate_id,
        nodes=second.nodes,
        start=horizon.at(second.start_period),
        surplus_difference_usd=second.surplus_difference_usd,
    )


def _render_match(opened: AuctionOpened, horizon: Horizon, order_id: str, match: model.Match) -> MatchTerms:
    return MatchTerms(
        grant_id=derive_id("grt", order_id, opened.auction_id),
        pool_id=match.pool_id,
        mandate_id=match.mandate_id,
        nodes=match.nodes,
        start=horizon.at(match.start_period),
        end=horizon.at(match.end_period),
        lots=tuple(
            LotShare(
                lot_id=share.lot_id,
                nodes=share.nodes,
                start=horizon.at(share.from_period),
                end=horizon.at(share.to_period),
            )
            for share in match.lots
        ),
        value_usd_per_gpu_hour=match.value_usd_per_gpu_hour,
        price_usd_per_gpu_hour=render_ratio(match.price_usd_per_gpu_hour),
    )


def parse_result(opened: AuctionOpened, cleared: Result, *, backstops: int) -> model.Clearing:
    """Convert a published result to the engine's model.

    Args:
        opened: The auction.
        cleared: Its result.
        backstops: How many of the decisions, which are the last, are of backstop orders.

    Raises:
        Corrupt: A match does not begin or end with a period of the auction.
    """
    horizon = build_horizon(opened)
    decisions = tuple(_parse_decision(horizon, decision) for decision in cleared.decisions)
    firm = len(decisions) - backstops
    return model.Clearing(
        tuple(
            model.PriceRun(run.pool_id, run.from_period, run.to_period, run.price_usd_per_gpu_hour)
            for run in cleared.prices
        ),
        decisions[:firm],
        model.Certificate(**msgspec.structs.asdict(cleared.certificate)),
        tuple(
            model.ShadowPrice(run.lot_id, run.from_period, run.to_period, run.price_usd_per_gpu_hour)
            for run in cleared.shadow_prices
        ),
        tuple(
            model.RulePrice(price.rule, price.rule_id, price.price_usd, price.from_period, price.to_period)
            for price in cleared.rule_prices
        ),
        decisions[firm:],
        tuple(model.IdleSupply(**msgspec.structs.asdict(idle)) for idle in cleared.idle_supply),
    )


def _parse_decision(horizon: Horizon, decision: Decision) -> model.Decision:
    match, proven, second = decision.match, decision.price_to_win_range, decision.second_best
    return model.Decision(
        decision.order_id,
        None if match is None else _parse_match(horizon, match, decision.total_usd or Decimal(0)),
        tuple(take_back_reason(horizon, reason) for reason in decision.reasons),
        decision.price_to_win_usd_per_gpu_hour,
        decision.regret_usd,
        None if proven is None else model.PriceRange(**msgspec.structs.asdict(proven)),
        None
        if second is None
        else model.SecondBest(
            second.pool_id,
            second.mandate_id,
            second.nodes,
            _find_period(horizon, second.start),
            second.surplus_difference_usd,
        ),
    )


def _parse_match(horizon: Horizon, match: MatchTerms, total_usd: Decimal) -> model.Match:
    return model.Match(
        match.pool_id,
        match.mandate_id,
        match.nodes,
        _find_period(horizon, match.start),
        _find_period(horizon, match.end),
        tuple(
            model.LotShare(
                share.lot_id, share.nodes, _find_period(horizon, share.start), _find_period(horizon, share.end)
            )
            for share in match.lots
        ),
        match.value_usd_per_gpu_hour,
        parse_ratio(match.price_usd_per_gpu_hour),
        total_usd,
    )


def _find_period(horizon: Horizon, at: datetime) -> int:
    period = horizon.floor(at)
    if horizon.at(period) != at:
        raise Corrupt(f"{at} is no boundary of the auction's periods of {horizon.period} from {horizon.start}")
    return period


def main() -> int:
    """Answer one task from standard input. The argument is the process id of the worker that waits for the answer.

    Returns:
        The exit code: 0, or 1 if the worker is no longer there.
    """
    worker_id = int(sys.argv[1])
    threading.Thread(target=end_with, args=(worker_id,), daemon=True).start()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OUT_OF_MEMORY_SCORE), encoding="ascii")
    answering = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        task = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=ToClear | ToPrice)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # The worker was killed while it sent the task. Nobody waits for an answer.
        return 1
    encoded = msgspec.msgpack.encode(answer(task))
    try:
        with os.fdopen(answering, "wb") as output:
            output.write(encoded)
    except BrokenPipeError:
        # The worker was killed while the engine worked. Nobody waits for this answer.
        return 1
    return 0


def answer(task: ToClear | ToPrice) -> Answer:
    """Return the engine's answer to a task; `Failed` states why there is none."""
    try:
        if isinstance(task, ToPrice):
            return Priced(price_book(task.book, task.seed))
        return Cleared(clear_book(task.opened, task.book, choose_workers()))
    except Exception as error:  # noqa: BLE001 - the top of this process
        # Whatever the engine raises, even a bug of ours, the worker gets the reason and its log gets the traceback.
        traceback.print_exc()
        return Failed(tell_failure(error))


if __name__ == "__main__":
    sys.exit(main())
