"""An engine in a process of its own: the same answers, and whatever becomes of the process, a reason and no result."""

import asyncio
import os
import shlex
import sys
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from events.auction import AuctionCleared, AuctionFailed
from events.subjects import render_subject
from marketplace.core.errors import MarketplaceError, Refusal
from marketplace.domain.trading.auction import LockedAuction
from marketplace.execution.handler import Handler
from marketplace.log.events import parse_event
from marketplace.log.memory import MemoryLog
from marketplace.runtime import worker as worker_module
from marketplace.runtime.auctions.audit import load_published, repeat
from marketplace.runtime.auctions.clearing import COMMAND, EngineInProcess, ToPrice, tell_failure
from marketplace.runtime.worker import Worker
from tests.runtime.auctions.test_auctions import build, read_end
from tests.support.market.market import running_worker
from tests.support.patience import PATIENCE_SECONDS

REAL = f'exec {shlex.join(COMMAND)} "$1"'
PATIENT = "exec sleep 600"


class Script(EngineInProcess):
    """The engine's process behind a shell, which does the first line in the first run, and so on."""

    def __init__(self, *lines, seconds_max=PATIENCE_SECONDS):
        super().__init__(seconds_max)
        self.lines = list(lines)

    async def _run(self, task):
        self._command = ("/bin/sh", "-c", self.lines.pop(0), "sh")
        return await super()._run(task)


@asynccontextmanager
async def working(market, engine):
    async with running_worker(Worker(Handler(market.log, market.clock), engine=engine)) as worker:
        yield worker


async def read_auction(log, auction_id, kind):
    events = [parse_event(recorded) for recorded in await log.load(render_subject("auction", auction_id))]
    return [event for event in events if isinstance(event, kind)]


def is_running(pid):
    """Tell whether a process is there; one that has ended and that nobody waited for is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


async def wait_until(condition):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - nothing tells of a file or a process
            await asyncio.sleep(0.02)


async def test_a_process_of_its_own_comes_to_the_certificate_that_a_thread_comes_to():
    market, trade = await build(MemoryLog())
    async with working(market, EngineInProcess()):
        await market.award(trade)
    published = await load_published(market.log, trade.auction)
    assert repeat(published) == published.clearing.certificate
    assert {decision.match is None for decision in published.clearing.decisions} == {True, False}


@pytest.mark.parametrize(
    ("line", "seconds_max", "reason"),
    [
        ("kill -9 $$", PATIENCE_SECONDS, "was ended by signal SIGKILL, as the system does where memory runs out"),
        ("kill -11 $$", PATIENCE_SECONDS, "was ended by signal SIGSEGV"),
        ("cat > /dev/null; exit 3", PATIENCE_SECONDS, "ended with code 3 and no answer"),
        ("cat > /dev/null; printf abc", PATIENCE_SECONDS, "of the engine's process cannot be read"),
        (f"ulimit -v 100000; {REAL}", PATIENCE_SECONDS, "ended with code 1 and no answer"),
        (PATIENT, 0.3, "gave no answer within 0 s and was stopped"),
    ],
    ids=["killed", "crashed", "ended", "nonsense", "memory", "hung"],
)
async def test_an_auction_whose_engine_ends_badly_fails_with_the_reason_and_runs_again(
    monkeypatch, line, seconds_max, reason
):
    monkeypatch.setattr(worker_module, "RETRY_SECONDS", 0.05)
    market, trade = await build(MemoryLog())
    engine = Script(line, REAL, seconds_max=seconds_max)
    async with working(market, engine):
        market.clock.at = market.day(0.5)
        failed = await market.until("auction", trade.auction, "failed")
        assert isinstance(failed, LockedAuction)
        engine._seconds_max = PATIENCE_SECONDS
        await market.award(trade)
    failures = await read_auction(market.log, trade.auction, AuctionFailed)
    assert [failure.attempt for failure in failures] == [1]
    assert reason in failures[0].reason
    assert len(await read_auction(market.log, trade.auction, AuctionCleared)) == 1
    published = await load_published(market.log, trade.auction)
    assert repeat(published) == published.clearing.certificate
    await read_end(market.log)


async def test_what_the_engine_refuses_reaches_the_log_from_its_process(monkeypatch):
    monkeypatch.setattr(worker_module, "RETRY_SECONDS", 0.005)
    market, trade = await build(MemoryLog())
    async with working(market, Script("exit 1", "exit 1", "exit 1")):
        market.clock.at = market.day(0.5)
        state = await market.until_carried_out(trade.auction)
    assert (state.attempts, state.cleared, state.completed.matched) == (3, None, 0)
    poolless = structs.replace(state.locked.book, pools=())
    with pytest.raises(MarketplaceError, match=r"names pool 'pol_.*', which the book does not list"):
        await EngineInProcess().clear(state.opened, poolless)


async def test_a_worker_that_ends_takes_the_engine_with_it(tmp_path):
    market, trade = await build(MemoryLog())
    note = tmp_path / "pid"
    async with working(market, Script(f"echo $$ > {note}.new; mv {note}.new {note}; {PATIENT}")):
        market.clock.at = market.day(0.5)
        await wait_until(note.exists)
        pid = int(note.read_text())
        assert is_running(pid)
    await wait_until(lambda: not is_running(pid))
    assert (await market.state("auction", trade.auction)).status == "locked"


async def test_the_engine_ends_with_a_worker_that_is_killed(tmp_path):
    task, note = tmp_path / "task", tmp_path / "pid"
    os.mkfifo(task)
    line = f"{shlex.join(COMMAND)} $$ < {task} & echo $! > {note}.new; mv {note}.new {note}; {PATIENT}"
    worker = await asyncio.create_subprocess_exec("/bin/sh", "-c", line)
    with task.open("wb"):
        await wait_until(note.exists)
        pid = int(note.read_text())
        assert is_running(pid)
        worker.kill()
        await worker.wait()
        await wait_until(lambda: not is_running(pid))


async def test_the_engine_whose_worker_was_killed_while_it_worked_prints_no_traceback():
    market, trade = await build(MemoryLog())
    market.clock.at = market.day(0.5)
    async with working(market, EngineInProcess()):
        state = await market.until_carried_out(trade.auction)
    reader, writer = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *COMMAND, str(os.getpid()), stdin=asyncio.subprocess.PIPE, stdout=writer, stderr=asyncio.subprocess.PIPE
    )
    os.close(writer)
    os.close(reader)
    _, printed = await process.communicate(msgspec.msgpack.encode(ToPrice(state.locked.book, seed=1)))
    assert (process.returncode, printed) == (1, b"")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "the engine ran out of memory"),
        (AssertionError(), "AssertionError"),
        (ArithmeticError("the relaxation has no optimum"), "ArithmeticError: the relaxation has no optimum"),
        (Refusal("lots_too_entangled", "bids overlap in 1,025 ways"), "bids overlap in 1,025 ways"),
    ],
)
def test_every_failure_has_words(error, told):
    assert tell_failure(error) == told


STARVED = """
import resource
import highspy
import numpy
from marketplace.clearing.program.program import new_solver, run_solver

chance, rows, columns, each = numpy.random.default_rng(1), 400, 4_000, 400
model = highspy.HighsLp()
model.num_col_, model.num_row_ = columns, rows
model.col_cost_, model.col_lower_, model.col_upper_ = -chance.random(columns), numpy.zeros(columns), numpy.ones(columns)
model.row_lower_, model.row_upper_ = numpy.full(rows, -1e30), numpy.full(rows, 10.0)
model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
model.a_matrix_.start_ = numpy.arange(0, rows * each + 1, each, dtype=numpy.int32)
places = [numpy.sort(chance.choice(columns, each, replace=False)) for _ in range(rows)]
model.a_matrix_.index_ = numpy.concatenate(places).astype(numpy.int32)
model.a_matrix_.value_ = chance.random(rows * each)
model.integrality_ = [highspy.HighsVarType.kInteger] * columns
solver = new_solver(1)
solver.passModel(model)
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 1_000_000,) * 2)
try:
    run_solver(solver)
    print(solver.getModelStatus())
except MemoryError:
    print("MemoryError")
"""


async def test_a_solver_that_runs_out_of_memory_ends_the_run_and_not_only_its_program():
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", STARVED, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert output.decode().strip() == "MemoryError"


async def test_an_engine_whose_worker_was_killed_while_it_sent_the_task_ends_without_a_word():
    for task in (msgspec.msgpack.encode({"type": "price", "book": {}})[:12], b""):
        process = await asyncio.create_subprocess_exec(*COMMAND, str(os.getpid()), stdin=PIPE, stdout=PIPE, stderr=PIPE)
        assert await process.communicate(task) == (b"", b"")
        assert process.returncode == 1
