"""Solves small integer programs around the present allocation and keeps what they improve.

A neighbourhood is a few related pools, sometimes only a stretch of their time. The orders that run inside it, and the
losers that could, are decided anew together while everything else stays. Several disjoint neighbourhoods are solved at
the same time, each in one thread with a limit on nodes, never on time, so that a repetition gives the same answer.
"""

import math
import random
from concurrent.futures import Future
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from marketplace.clearing.arrays.allocation import TOLERANCE_MICRO, Allocation, Placing
from marketplace.clearing.arrays.carrying import stack
from marketplace.clearing.arrays.constraint_usage import ConstraintUsage
from marketplace.clearing.arrays.grid import Flags, Floats, Grid, Integers
from marketplace.clearing.money import MICRO
from marketplace.clearing.program.bound import Shadow
from marketplace.clearing.program.integer import Answer, Work, solve_program
from marketplace.clearing.program.program import CandidateTable, Columns, RowTable, build_program
from marketplace.clearing.program.prospects import Prospects, list_affordable
from marketplace.clearing.search.diving import Root, dive
from marketplace.clearing.search.worker_pool import WorkerPool

WORK = Work(nodes=30, asks=80, gap=1e-4)
WORK_WELL = Work(nodes=60, asks=160, gap=1e-4)
LIGHT_WORK = Work(nodes=10, asks=30, gap=5e-4)
"""Of small programs, hard ones are given up early: another stretch of pools and time gains more by then."""
WORK_OF_WHOLE = Work(nodes=400, asks=200, gap=2e-4)
SURE = 1e-7
"""What the relaxation's worth may be wrong by, as a share."""
ENOUGH = 5e-5
"""The share by which a small book may be short of what is proven when its search ends before the first round."""
WIDTHS = (2, 3, 5, 8)
"""How long a neighbourhood may be, in mean durations of orders."""
LOSSES = (0.01, 0.03, 0.1)
LOSSES_NARROW = (0.003, 0.01, 0.03)
"""The highest reduced costs of placements that are considered, as shares of their worth."""
SPAN_LEAST = 4
SHRINK = 0.8


@dataclass(frozen=True, slots=True)
class NeighbourhoodLimits:
    """The limits of neighbourhoods.

    Attributes:
        columns: How many placements one may have.
        pools: How many pools it may span.
        batch: How many are solved in one batch.
        work: How hard the solver tries each.
        losses: The highest reduced costs of placements that are considered, as shares of their worth.
    """

    columns: int
    pools: int
    batch: int
    work: Work = WORK
    losses: tuple[float, ...] = LOSSES


@dataclass(frozen=True, slots=True)
class Task:
    """One neighbourhood: its placements, its orders, and what everything else takes of its rows and of the rules'."""

    columns: Integers
    orders: Integers
    fixed: Floats
    incumbent: Floats
    taken: tuple[Floats, Floats] | None = None
    work: Work = WORK


@dataclass(frozen=True, slots=True)
class SolverContext:
    """What every program of a book is written from."""

    grid: Grid
    candidates: CandidateTable
    table: RowTable
    columns: Columns
    root: Root | None = None

    def decide(self, task: Task) -> Answer:
        """Solve the program about every order, with the cuts where there are any."""
        relaxation = None if self.root is None else self.root.of_all
        if relaxation is None:
            return self.solve(task)
        return solve_program(relaxation.restrict(task.columns), task.incumbent, task.work)

    def solve(self, task: Task) -> Answer:
        """Write the program of a neighbourhood and solve it."""
        columns, rules = self.columns.take(task.columns), self.grid.rules
        taken = None if task.taken is None or rules is None else ConstraintUsage(rules, task.taken)
        program = build_program(self.grid, self.candidates, self.table, columns, task.fixed, whole=True, taken=taken)
        return solve_program(program.model, task.incumbent, task.work)


@dataclass(frozen=True, slots=True)
class PendingSolve:
    """A neighbourhood, and the future of its answer."""

    task: Task
    answer: Future[Answer]


class Neighbourhoods:
    """The search by integer programs on one allocation, which it changes in place and never worsens.

    Attributes:
        root: The relaxation with its cuts, if there is one; the reduced costs of the prospects are at its prices.
        ceiling: US dollars that no allocation is worth more than, with uniform prices or without; None if not proven.
        unpriced: The same where the program about every order has proven it to within its gap, None until then.
    """

    def __init__(
        self,
        allocation: Allocation,
        prospects: Prospects,
        tables: tuple[CandidateTable, RowTable, Shadow],
        choice: tuple[random.Random, NeighbourhoodLimits],
        root: Root | None = None,
    ) -> None:
        self.allocation = allocation
        self.grid: Grid = allocation.grid
        self.prospects = prospects
        self.candidates, self.table, self.shadow = tables
        self.root = root
        self.ceiling: Fraction | None = None if root is None else root.ceiling
        self.unpriced: Fraction | None = None
        self.pick, self.limits = choice
        durations = [self.grid.order_rows[order].duration for order in np.unique(prospects.order).tolist()]
        self.duration = sum(durations) / max(1, len(durations))
        meets = np.zeros((len(self.grid.order_rows), len(self.grid.pool_arrays)))
        meets[prospects.order, prospects.pool] = 1.0
        self.members = [np.flatnonzero(prospects.pool == pool) for pool in range(len(self.grid.pool_arrays))]
        self.shared_orders = meets.T @ meets
        np.fill_diagonal(self.shared_orders, 0.0)

    @property
    def context(self) -> SolverContext:
        """The data that workers solve its programs with."""
        return SolverContext(self.grid, self.candidates, self.table, self.prospects.columns, self.root)

    def begin(self, worker_pool: WorkerPool[SolverContext]) -> list[PendingSolve]:
        """Choose a batch of disjoint neighbourhoods and begin to solve them; the caller does not wait."""
        return [PendingSolve(task, worker_pool.submit(SolverContext.solve, task)) for task in self._choose()]

    def end(self, batch: list[PendingSolve]) -> None:
        """Take over what answers improve, in the order in which they were begun."""
        for pending in batch:
            taken = pending.answer.result().taken
            if taken is not None:
                self._apply(pending.task, pending.task.columns[taken])

    def dive(self) -> None:
        """Dive from the relaxation, if there is one, and continue from the result if it is worth more."""
        if self.root is None:
            return
        found = dive(self.root)
        if found.total > self.allocation.total:
            self.allocation.restore(found.placed)

    def decide_whole(self) -> None:
        """Decide about every order anew in one program, and note what it proves.

        A placement whose reduced cost exceeds the remaining gap cannot improve the solution, and is left out.
        """
        good = np.ones(len(self.prospects.order), dtype=np.bool_)
        if self.root is not None and (relaxation := self.root.of_all) is not None:
            most = relaxation.worth * MICRO
            good = self.prospects.loss <= most * (1 + SURE) - self.allocation.total
        current = self._view().current
        columns, orders = np.flatnonzero(good | current), np.unique(self.prospects.order)
        fixed, incumbent = np.zeros(self.table.rows), current[columns].astype(np.float64)
        task = Task(columns, orders, fixed, incumbent, self._usage_of_others(orders), WORK_OF_WHOLE)
        answer = self.context.decide(task)
        if answer.taken is None:
            return
        known = max(answer.worth, self.allocation.total / MICRO)
        if math.isfinite(answer.bound):
            proven = Fraction(math.ceil(Fraction(max(answer.bound, known)) * MICRO), MICRO)
            self.ceiling = proven if self.ceiling is None else min(self.ceiling, proven)
            if answer.bound <= known * (1 + task.work.gap):
                self.unpriced = self.ceiling
        self._apply(task, task.columns[answer.taken])

    def is_best(self) -> bool:
        """Return whether it is proven that no clearing is worth noticeably more than what is found."""
        return self.unpriced is not None and self.allocation.total >= float(self.unpriced) * MICRO * (1 - ENOUGH)

    def _choose(self) -> list[Task]:
        count, view = len(self.grid.pool_arrays), self._view()
        losses, used = self._losses(), np.zeros(count, dtype=np.bool_)
        tasks: list[Task] = []
        for _ in range(count):
            if len(tasks) == self.limits.batch or used.all():
                break
            columns = self._grow(view, losses, used)
            if len(columns):
                orders = np.unique(self.prospects.order[columns])
                view.free[orders] = False
                task = self._task(columns, orders, view)
                if len(task.columns):
                    tasks.append(task)
        return tasks

    def _view(self) -> "_View":
        current = np.zeros(len(self.prospects.order), dtype=np.bool_)
        where = np.full(len(self.grid.order_rows), -1)
        begins = np.full(len(self.grid.order_rows), self.grid.periods)
        ends = np.zeros(len(self.grid.order_rows), dtype=np.int64)
        for order, placing in enumerate(self.allocation.placed):
            if placing is not None:
                at = self.prospects.find(placing)
                where[order] = self.grid.candidates[placing[0]].pool
                begins[order], ends[order] = placing[1], placing[1] + self.grid.order_rows[order].duration
                if at is not None:
                    current[at] = True
        free, good = np.ones(len(self.grid.order_rows), dtype=np.bool_), np.ones(len(current), dtype=np.bool_)
        return _View(current, where, begins, ends, free, good)

    def _losses(self) -> Floats:
        """Return per pool the reduced costs of its placements and the rent of its idle lots: what there is to gain."""
        losses = np.ones(len(self.grid.pool_arrays))
        for placing in self.allocation.placed:
            at = None if placing is None else self.prospects.find(placing)
            if at is not None:
                losses[self.prospects.pool[at]] += (
                    self.prospects.best[self.prospects.order[at]] - self.prospects.surplus[at]
                )
        for pool, arrays in enumerate(self.grid.pool_arrays):
            left = stack(arrays, self.allocation.loads[pool], 0, self.grid.periods)[3]
            rent = self.shadow.lots[pool] - arrays.ask[:, None]
            losses[pool] += float((rent * left).sum()) * arrays.gpus * self.grid.hours
        return losses

    def _grow(self, view: "_View", losses: Floats, used: Flags) -> Integers:
        """Choose a first pool by what there is to gain, and a span; add related pools while the program is small.

        A short span of many pools and the whole horizon of one pool repair different faults, so the length varies. So
        does the highest reduced cost: with fewer placements the neighbourhood can be wider.
        """
        first = self.pick.choices(range(len(used)), np.where(used, 0.0, losses).tolist())[0]
        inside = np.zeros(len(used), dtype=np.bool_)
        inside[first] = True
        view = replace(view, good=self.prospects.loss <= self.pick.choice(self.limits.losses) * self.prospects.worth)
        width = min(self.grid.periods, math.ceil(self.pick.choice(WIDTHS) * self.duration))
        begin = self.pick.randint(0, self.grid.periods - width)
        columns = self._columns(view, inside, begin, begin + width)
        while len(columns) > self.limits.columns and width > SPAN_LEAST:
            width = int(width * SHRINK)
            columns = self._columns(view, inside, begin, begin + width)
        while inside.sum() < self.limits.pools:
            related = np.where(used | inside, 0.0, self.shared_orders[first])
            if related.sum() <= 0:
                break
            wider = inside.copy()
            wider[self.pick.choices(range(len(used)), related.tolist())[0]] = True
            more = self._columns(view, wider, begin, begin + width)
            if len(more) > self.limits.columns:
                break
            inside, columns = wider, more
        used |= inside
        return columns

    def _columns(self, view: "_View", inside: Flags, begin: int, end: int) -> Integers:
        prospects = self.prospects
        stays = view.free & ((view.where < 0) | (inside[view.where] & (view.begins >= begin) & (view.ends <= end)))
        mine = np.sort(np.concatenate([self.members[pool] for pool in np.flatnonzero(inside).tolist()]))
        mine = mine[(prospects.columns.start[mine] >= begin) & (prospects.end[mine] <= end)]
        found: Integers = mine[stays[prospects.order[mine]] & (view.good[mine] | view.current[mine])]
        return found

    def _task(self, columns: Integers, orders: Integers, view: "_View") -> Task:
        """Fix what stays, and drop placements that what stays already prices out or leaves no room for."""
        fixed = np.zeros(self.table.rows)
        leaves = set(orders.tolist())
        for pool in np.unique(self.prospects.pool[columns]).tolist():
            for order in self.allocation.members[pool]:
                placing = self.allocation.placed[order]
                if order not in leaves and placing is not None:
                    order_row = self.grid.order_rows[order]
                    row = (
                        int(self.table.base[pool] + self.grid.candidates[placing[0]].layer) * self.grid.periods
                        + placing[1]
                    )
                    fixed[row : row + order_row.duration] += self.grid.candidates[placing[0]].nodes
        keep = self._affordable(columns, fixed) | view.current[columns]
        columns = columns[keep]
        incumbent = view.current[columns].astype(np.float64)
        return Task(columns, orders, fixed, incumbent, self._usage_of_others(orders), self.limits.work)

    def _usage_of_others(self, orders: Integers) -> tuple[Floats, Floats] | None:
        if self.allocation.taken is None:
            return None
        taken = self.allocation.taken.copy()
        for order in orders.tolist():
            placing: Placing | None = self.allocation.placed[order]
            if placing is not None:
                taken.shift(*placing, self.grid.order_rows[order].duration, -1)
        return taken.total, taken.span

    def _affordable(self, columns: Integers, fixed: Floats) -> Flags:
        prospects, periods = self.prospects, self.grid.periods
        keep = np.zeros(len(columns), dtype=np.bool_)
        keys = np.stack([prospects.pool[columns], prospects.layer[columns], prospects.nodes[columns]])
        kinds, kind = np.unique(keys, axis=1, return_inverse=True)
        for at, (pool, layer, nodes) in enumerate(kinds.T.tolist()):
            arrays = self.grid.pool_arrays[pool]
            low = int(self.table.base[pool]) * periods
            loads = fixed[low : low + len(arrays.layers) * periods].reshape(-1, periods)
            mine = np.flatnonzero(kind.ravel() == at)
            runs = prospects.columns.start[columns[mine]], prospects.end[columns[mine]]
            keep[mine] = list_affordable(arrays, loads, (layer, nodes), runs, prospects.value[columns[mine]])
        return keep

    def _apply(self, task: Task, chosen: Integers) -> None:
        """Apply a program's answer, place orders that no price suits anew, and undo it all if that is worth less.

        Another answer of the same batch may have placed orders on these pools after this program was written. If both
        do not fit, this one is dropped.
        """
        allocation = self.allocation
        before, placed = allocation.total, list(allocation.placed)
        orders = task.orders.tolist()
        for order in orders:
            if not allocation.out[order]:
                allocation.remove(order)
        columns = self.prospects.columns.take(chosen)
        for candidate, start in zip(columns.candidate.tolist(), columns.start.tolist(), strict=True):
            allocation.place(candidate, start)
        pools = np.unique(self.candidates.pool[columns.candidate]).tolist()
        if allocation.breaks_rules() or any(allocation.is_overloaded(pool) for pool in pools):
            allocation.restore(placed)
            allocation.total = before
            return
        if unsupported := allocation.with_children(allocation.list_unsupported(pools)):
            for order in unsupported:
                allocation.remove(order)
            for order in dict.fromkeys(unsupported + orders):
                if allocation.out[order]:
                    allocation.insert(order)
        if allocation.total < before - TOLERANCE_MICRO:
            allocation.restore(placed)
            allocation.total = before


@dataclass(frozen=True, slots=True)
class _View:
    """Where everybody is when a batch is chosen, which orders are free yet, and which placements are good enough."""

    current: Flags
    where: Integers
    begins: Integers
    ends: Integers
    free: Flags
    good: Flags
