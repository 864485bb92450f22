"""The clearing engine in a process of its own: what the worker asks, what that process answers, and its program.

A worker also keeps time, projects and settles. If the engine crashed, hung or used up the memory, all of that would
stop, and stop again after each restart, because the book is the same. `marketplace serve` therefore runs the engine in
a process of its own. If that process fails, the run failed with a reason, and the worker goes on. The time limit
decides only whether there is a result, never which.

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
from pathlib import Path
from typing import Final

import msgspec

from events.auction import AuctionOpened, Price
from events.book import Book
from marketplace.core.errors import MarketplaceError
from marketplace.domain.trading.auction import ClearAuction
from marketplace.runtime.auctions.clearing import clear_book, price_book, tell_failure
from marketplace.runtime.auctions.forking import choose_workers, end_with
from marketplace.runtime.process.config import CLEARING_SECONDS_MAX

COMMAND: Final = (sys.executable, "-m", "marketplace.runtime.auctions.engine_process")
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
