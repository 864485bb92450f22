"""Who works decides how long a clearing takes and nothing else; processes end with the one that forked them."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from marketplace.clearing.engine import clear
from marketplace.clearing.search import diving
from marketplace.clearing.search.worker_pool import THREADS, map_isolated
from marketplace.runtime.auctions import forking
from marketplace.runtime.auctions.forking import FORKS, choose_workers
from tests.clearing.books import market_book
from tests.clearing.ruled_books import random_ruled_book

FORKING = choose_workers() is FORKS
WORKERS_OF = {"threads": THREADS, "here": choose_workers()}
each = pytest.mark.parametrize("workers", WORKERS_OF.values(), ids=WORKERS_OF)


@pytest.fixture
def two_workers(monkeypatch):
    """Let this be a machine of two cores."""
    monkeypatch.setattr(forking, "count_workers", lambda: 2)


def add(known, more):
    known.append(more)
    return sum(known)


def tell_process(_known, _task):
    return os.getpid()


def die(_known, _task):
    os.kill(os.getpid(), signal.SIGKILL)


def fail(_known, task):
    raise MemoryError(task)


@each
def test_a_worker_pool_answers_in_the_order_of_its_tasks(workers):
    with workers.start([1, 2]) as worker_pool:
        assert worker_pool.map(sum_with, range(20)) == [3 + task for task in range(20)]


def sum_with(known, task):
    return sum(known) + task


@pytest.mark.usefixtures("two_workers")
def test_processes_work_apart_and_threads_here():
    with THREADS.start(None) as worker_pool:
        assert worker_pool.map(tell_process, range(4)) == [os.getpid()] * 4
    with choose_workers().start(None) as worker_pool:
        assert (os.getpid() in worker_pool.map(tell_process, range(4))) is not FORKING


@pytest.mark.usefixtures("two_workers")
def test_what_processes_change_stays_with_them():
    known = [1]
    assert map_isolated(THREADS, known, add, [1]) == [2]
    assert known == [1, 1]
    if FORKING:
        assert map_isolated(choose_workers(), known, add, [1]) == [3]
        assert known == [1, 1]


@each
def test_an_error_of_a_task_is_raised_by_the_pool(workers):
    with pytest.raises(MemoryError, match="no room"), workers.start(None) as worker_pool:
        worker_pool.map(fail, ["no room"])


def test_a_process_that_is_ended_from_outside_ends_the_run():
    if not FORKING:
        assert sys.platform != "linux"
        return
    with pytest.raises(MemoryError, match="was ended"), FORKS.start(None) as worker_pool:
        worker_pool.map(die, range(3))


@pytest.mark.parametrize("seed", [1, 4])
def test_a_market_clears_alike_whoever_works(seed, monkeypatch):
    made = market_book(seed)
    alone = clear(made, seed=1)
    assert clear(made, seed=1, workers=choose_workers()) == alone
    monkeypatch.setattr(forking, "count_workers", lambda: 1)
    assert clear(made, seed=1, workers=choose_workers()) == alone


def test_a_large_market_clears_alike_whoever_works(monkeypatch):
    """A small one passes for a large one here: programs of parts, and dives that consider some placements only."""
    monkeypatch.setattr("marketplace.clearing.search.search.SMALL_COLUMNS_MAX", 10)
    monkeypatch.setattr(diving, "COLUMNS_FEW", 10)
    made = market_book(2)
    alone = clear(made, seed=1, iterations=6)
    assert alone.certificate.iterations == 6
    assert clear(made, seed=1, iterations=6, workers=choose_workers()) == alone


def test_books_with_rules_clear_alike_whoever_works(monkeypatch):
    """Programs know what others take of limits, and losers are explained by isolated workers."""
    monkeypatch.setattr("marketplace.clearing.search.solving.EXACT_COLUMNS_MAX", 0)
    for seed in range(12):
        made = random_ruled_book(seed)
        assert clear(made, seed=1, workers=choose_workers()) == clear(made, seed=1)


ORPHANS = """
import os, time
from marketplace.runtime.auctions.forking import FORKS
def hold(known, task):
    print(os.getpid(), flush=True)
    time.sleep(60)
with FORKS.start(None) as worker_pool:
    worker_pool.map(hold, range(1))
"""


def test_processes_end_with_the_one_that_forked_them():
    if not FORKING:
        assert sys.platform != "linux"
        return
    with subprocess.Popen([sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        os.kill(worker, 0)
        parent.kill()
        deadline = time.monotonic() + 20
        while is_running(worker):
            assert time.monotonic() < deadline, "the worker outlived its parent"
            time.sleep(0.05)


def is_running(process_id):
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def test_no_wish_for_processes_leaves_a_lone_core_idle(monkeypatch):
    monkeypatch.setattr(forking, "count_workers", lambda: 1)
    known = [0]
    map_isolated(choose_workers(), known, add, [1, 2])
    assert known == [0, 1, 2]


def test_an_offer_of_identical_orders_is_explained_once_whoever_works():
    made = market_book(3)
    first = made.orders[0]
    made = replace(made, orders=(*made.orders, *(replace(first, order_id=f"copy-{at}") for at in range(9))))
    assert clear(made, seed=1, workers=choose_workers()) == clear(made, seed=1)
