"""Checks a clearing against its book without solving anything, in integers and fractions only.

It shares no code with the solver: everything is computed anew from the book and the published result. An auditor needs
the book, the result and this module. Violations, in the order in which they are looked for:

`book_hash`, `decisions` (one per order, in order), `bid` (the match is one of the order's bids), `size`, `window`,
`lots` (the shares do not add up, or a lot is not the bid's), those of `rule_audit`, `oversold`, `dear_lot` (a cheaper
lot was left idle), `price_runs`, `price_mean`, `total`, `above_value`, `under_ask`, `above_bids`, `idle_price`, those
of `idle_audit`, `second_best`, `regret`, `reasons`, `price_to_win`, `welfare`, `bound`, `gap`, `price_loss`, those of
`backstop_audit`, `prices_hash`, `decisions_hash`.
"""

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate, chain

from marketplace.clearing.codec import hash_book, hash_json, render_decisions, render_prices
from marketplace.clearing.model import Bid, Book, Clearing, Decision, Lot, Match, Order
from marketplace.clearing.verify.audit_second import SecondAudit
from marketplace.clearing.verify.audit_shares import find_wrong_shares
from marketplace.clearing.verify.audit_values import MILLION, Violation, is_sane, micro, show
from marketplace.clearing.verify.backstop_audit import BackstopAudit
from marketplace.clearing.verify.idle_audit import IdleAudit
from marketplace.clearing.verify.rule_audit import RuleAudit, list_sizes
from marketplace.core.errors import Refusal

VIOLATIONS_MAX = 100
Cell = tuple[str, int]


def verify(book: Book, clearing: Clearing) -> None:
    """Refuse a result that breaks a rule.

    Raises:
        Refusal: `clearing_broken` with the first violations in its facts.
    """
    violations = find_violations(book, clearing)
    if violations:
        first = violations[0]
        raise Refusal(
            "clearing_broken",
            f"{len(violations)} rules are broken, first {first.code} at {first.subject}: {first.text}; publish nothing",
            violations=[f"{violation.code} {violation.subject}: {violation.text}" for violation in violations],
        )


def find_violations(book: Book, clearing: Clearing) -> tuple[Violation, ...]:
    """Return the broken rules, at most `VIOLATIONS_MAX`, in the order of the module's docstring."""
    audit = _Audit(book, clearing)
    found: list[Violation] = []
    for check in (
        audit.check_identity,
        audit.check_matches,
        audit.check_rules,
        audit.check_capacity,
        audit.check_uniform,
        audit.check_prices,
        audit.check_asks,
        audit.check_choice,
        audit.check_idle,
        audit.check_seconds,
        audit.check_losers,
        audit.check_welfare,
        audit.check_bound,
        audit.check_backstops,
        audit.check_hashes,
    ):
        for violation in check():
            found.append(violation)
            if len(found) == VIOLATIONS_MAX:
                return tuple(found)
        if found and check in (audit.check_identity, audit.check_matches):
            return tuple(found)
    return tuple(found)


class _Audit:
    """The recomputation of one result."""

    def __init__(self, book: Book, clearing: Clearing) -> None:
        self.book = book
        self.clearing = clearing
        self.gpus = {pool.pool_id: pool.gpus_per_node for pool in book.pools}
        self.entries: dict[Cell, Lot] = {
            (lot.lot_id, period): lot for lot in book.lots for period in range(lot.from_period, lot.to_period)
        }
        self.pool_lots: dict[str, list[str]] = {pool.pool_id: [] for pool in book.pools}
        for lot in book.lots:
            if lot.lot_id not in self.pool_lots[lot.pool_id]:
                self.pool_lots[lot.pool_id].append(lot.lot_id)
        self.used: dict[Cell, int] = defaultdict(int)
        self.prices: dict[Cell, int] = {}
        self.rules = RuleAudit(book, clearing)
        self._fits: dict[tuple[str, tuple[str, ...], int], list[int]] = {}
        self._asks: dict[tuple[str, tuple[str, ...], int], list[int]] = {}

    def matched(self) -> Iterator[tuple[Order, Decision, Match]]:
        """Yield the accepted orders."""
        for order, decision in zip(self.book.orders, self.clearing.decisions, strict=True):
            if decision.match is not None:
                yield order, decision, decision.match

    def allowed(self, bid: Bid) -> tuple[str, ...]:
        """Return the lots that a bid may use."""
        lots = self.pool_lots[bid.pool_id]
        return tuple(lots if bid.lot_ids is None else sorted(set(lots) & set(bid.lot_ids)))

    def check_identity(self) -> Iterator[Violation]:
        """The result is about this book and decides every order once."""
        if self.clearing.certificate.book_hash != hash_book(self.book):
            yield Violation("book_hash", "certificate", "the book has another hash than the certificate")
        wanted = [order.order_id for order in self.book.orders]
        if [decision.order_id for decision in self.clearing.decisions] != wanted:
            yield Violation("decisions", "decisions", "expected one decision per order, in the order of the book")

    def check_matches(self) -> Iterator[Violation]:
        """Every match is a bid of its order, of the right size, inside the window, carried by the bid's lots."""
        for order, _, match in self.matched():
            bids = [
                bid
                for bid in order.bids
                if (bid.pool_id, bid.mandate_id, bid.value_usd_per_gpu_hour)
                == (match.pool_id, match.mandate_id, match.value_usd_per_gpu_hour)
            ]
            if not bids:
                yield Violation("bid", order.order_id, f"no bid on {match.pool_id} at {match.value_usd_per_gpu_hour}")
                continue
            if (
                not any(match.nodes in list_sizes(order, bid) for bid in bids)
                or match.end_period - match.start_period != order.duration_periods
            ):
                yield Violation(
                    "size", order.order_id, f"{match.nodes} nodes to {match.end_period} is not what it asked"
                )
            if not order.start_earliest <= match.start_period <= order.start_latest:
                yield Violation("window", order.order_id, f"starts at {match.start_period}, outside its window")
            if match.end_period > self.book.periods:
                yield Violation("window", order.order_id, f"ends at {match.end_period}, after the horizon")
            shares = {share.lot_id for share in match.lots}
            if not any(shares <= set(self.allowed(bid)) and match.nodes in list_sizes(order, bid) for bid in bids):
                yield Violation("lots", order.order_id, f"uses {sorted(shares)}, not all of which its bid allows")
            carried: dict[int, int] = defaultdict(int)
            for share in match.lots:
                for period in range(share.from_period, share.to_period):
                    carried[period] += share.nodes
                    self.used[share.lot_id, period] += share.nodes
            wanted = dict.fromkeys(range(match.start_period, match.end_period), match.nodes)
            if carried != wanted or any(share.nodes <= 0 for share in match.lots):
                yield Violation("lots", order.order_id, "its lots do not carry its nodes in every period of its run")

    def check_rules(self) -> Iterator[Violation]:
        """No limit is taken beyond its amount, at most one of a group runs, and no child without its parent."""
        served = zip(self.book.backstops, self.clearing.backstops, strict=False)
        backstops = ((order, decision.match) for order, decision in served if decision.match is not None)
        ordinary = ((order, match) for order, _, match in self.matched())
        for code, subject, text in self.rules.find(chain(ordinary, backstops)):
            yield Violation(code, subject, text)

    def check_capacity(self) -> Iterator[Violation]:
        """No lot carries more than it offers, and none is idle while a dearer one serves in its place."""
        for (lot_id, period), nodes in self.used.items():
            lot = self.entries.get((lot_id, period))
            offered = 0 if lot is None else lot.nodes
            if nodes > offered:
                yield Violation("oversold", lot_id, f"carries {nodes} nodes in period {period}, offers {offered}")
        for order, _, match in self.matched():
            bids = [
                bid
                for bid in order.bids
                if (bid.pool_id, bid.mandate_id) == (match.pool_id, match.mandate_id)
                and match.nodes in list_sizes(order, bid)
            ]
            lots = min((self.allowed(bid) for bid in bids if _covers(self.allowed(bid), match)), key=len, default=())
            if cheaper := self._idle_cheaper(match, lots):
                yield Violation("dear_lot", order.order_id, f"lot {cheaper[0]} was idle and cheaper in {cheaper[1]}")

    def _idle_cheaper(self, match: Match, lots: tuple[str, ...]) -> Cell | None:
        for share in match.lots:
            for period in range(share.from_period, share.to_period):
                mine = self.entries.get((share.lot_id, period))
                for lot_id in lots:
                    other = self.entries.get((lot_id, period))
                    if (
                        mine is not None
                        and other is not None
                        and other.ask_usd_per_gpu_hour < mine.ask_usd_per_gpu_hour
                        and self.used[lot_id, period] < other.nodes
                    ):
                        return lot_id, period
        return None

    def check_uniform(self) -> Iterator[Violation]:
        """No pool has two prices in one period."""
        for run in self.clearing.prices:
            price = micro(run.price_usd_per_gpu_hour)
            for period in range(run.from_period, run.to_period):
                if self.prices.setdefault((run.pool_id, period), price) != price:
                    yield Violation("price_runs", run.pool_id, f"has two prices in period {period}")

    def check_prices(self) -> Iterator[Violation]:
        """One price per pool and period, the mean of which an order pays and which is not above its value."""
        for order, decision, match in self.matched():
            cells = [(match.pool_id, period) for period in range(match.start_period, match.end_period)]
            if any(cell not in self.prices for cell in cells):
                yield Violation("price_runs", match.pool_id, "has no price in a period in which it runs an order")
                continue
            mean = Fraction(sum(self.prices[cell] for cell in cells), len(cells) * MILLION)
            if mean != match.price_usd_per_gpu_hour:
                yield Violation(
                    "price_mean", order.order_id, f"pays {match.price_usd_per_gpu_hour}, the mean is {mean}"
                )
            hours = match.nodes * len(cells) * self.gpus[match.pool_id] * self.book.period_hours
            if Fraction(match.total_usd) != mean * hours:
                yield Violation("total", order.order_id, f"states {match.total_usd}, it is {mean * hours}")
            if mean > Fraction(match.value_usd_per_gpu_hour):
                yield Violation("above_value", order.order_id, f"pays {mean}, worth {match.value_usd_per_gpu_hour}")
            if decision.regret_usd != 0 or decision.reasons or decision.price_to_win_usd_per_gpu_hour is not None:
                yield Violation("reasons", order.order_id, "is matched, yet has reasons, regret or a price to win")

    def check_asks(self) -> Iterator[Violation]:
        """No used lot is paid under its ask."""
        for (lot_id, period), nodes in self.used.items():
            lot = self.entries.get((lot_id, period))
            if lot is not None and nodes:
                price = self.prices.get((lot.pool_id, period), 0)
                if price < micro(lot.ask_usd_per_gpu_hour):
                    yield Violation("under_ask", lot_id, f"is used in period {period} at {price} micro-dollars")

    def check_choice(self) -> Iterator[Violation]:
        """A price in use is above neither every bid nor every used ask; where nothing runs, it is the cheapest ask."""
        bids = self._highest_bids()
        busy = {(lot.pool_id, cell[1]) for cell, lot in self.entries.items() if self.used.get(cell)}
        asks: dict[Cell, list[int]] = defaultdict(list)
        for (lot_id, period), lot in self.entries.items():
            if lot.nodes and (self.used.get((lot_id, period)) or (lot.pool_id, period) not in busy):
                asks[lot.pool_id, period].append(micro(lot.ask_usd_per_gpu_hour))
        for (pool_id, period), price in self.prices.items():
            cell, show_price = (pool_id, period), f"{price} micro-dollars in period {period}"
            if cell in busy and price > max(bids.get(cell, 0), *asks[cell]):
                yield Violation("above_bids", pool_id, f"costs {show_price}, above every bid and every used ask")
            if cell not in busy and asks[cell] and price != min(asks[cell]):
                yield Violation("idle_price", pool_id, f"costs {show_price}, the cheapest ask is {min(asks[cell])}")

    def _highest_bids(self) -> dict[Cell, int]:
        """Return the highest bid that could use each pool and period, in micro-dollars."""
        found: dict[Cell, int] = {}
        for order in self.book.orders:
            last = min(order.start_latest, self.book.periods - order.duration_periods)
            if last >= order.start_earliest:
                for bid in order.bids:
                    value = micro(bid.value_usd_per_gpu_hour)
                    for period in range(order.start_earliest, last + order.duration_periods):
                        found[bid.pool_id, period] = max(found.get((bid.pool_id, period), 0), value)
        return found

    def check_idle(self) -> Iterator[Violation]:
        """Idle nodes that ask less than the price are stated with the cause."""
        for code, subject, text in IdleAudit(self.book, self.clearing, self.prices).find():
            yield Violation(code, subject, text)

    def check_seconds(self) -> Iterator[Violation]:
        """Every accepted order states its best other placement, and by how much its surplus is less."""
        for order_id, text in SecondAudit(self.book, self.clearing).find_wrong():
            yield Violation("second_best", order_id, text)

    def check_losers(self) -> Iterator[Violation]:
        """Every unmatched order has reasons, its true regret, and a price to win in whole cents or none."""
        for order, decision in zip(self.book.orders, self.clearing.decisions, strict=True):
            if decision.match is not None:
                continue
            regret = self._regret(order)
            if Fraction(decision.regret_usd) != regret:
                yield Violation("regret", order.order_id, f"reports {decision.regret_usd}, it is {show(regret)}")
            codes = [reason.code for reason in decision.reasons]
            if not codes or ("paradoxically_rejected" in codes) != (regret > 0):
                yield Violation("reasons", order.order_id, f"{codes} do not explain a regret of {show(regret)}")
            if decision.second_best is not None:
                yield Violation("second_best", order.order_id, "is unmatched, yet has a second-best placement")
            if not is_sane(decision.price_to_win_usd_per_gpu_hour, decision.price_to_win_range):
                price = decision.price_to_win_usd_per_gpu_hour
                yield Violation("price_to_win", order.order_id, f"{price} is not in whole cents or not in its range")

    def _regret(self, order: Order) -> Fraction:
        best = 0
        for bid, nodes in _list_ways(order):
            fits = self._fit_sums(bid, nodes)
            value = micro(bid.value_usd_per_gpu_hour) * order.duration_periods
            sums = self._price_sums(bid.pool_id)
            scale = nodes * self.gpus[bid.pool_id] * self.book.period_hours
            for start, end in self._spans(order):
                if fits[end] - fits[start] == order.duration_periods:
                    best = max(best, (value - sums[end] + sums[start]) * scale)
        return Fraction(best, MILLION)

    def _spans(self, order: Order) -> Iterator[tuple[int, int]]:
        last = min(order.start_latest, self.book.periods - order.duration_periods)
        for start in range(order.start_earliest, last + 1):
            yield start, start + order.duration_periods

    def _fit_sums(self, bid: Bid, nodes: int) -> list[int]:
        key = (bid.pool_id, self.allowed(bid), nodes)
        if key not in self._fits:
            enough = [
                sum(lot.nodes for lot in self._offers(key[1], period)) >= nodes for period in range(self.book.periods)
            ]
            self._fits[key] = [0, *accumulate(int(good) for good in enough)]
        return self._fits[key]

    def _offers(self, lots: tuple[str, ...], period: int) -> list[Lot]:
        return [lot for lot_id in lots if (lot := self.entries.get((lot_id, period))) is not None]

    def _price_sums(self, pool_id: str) -> list[int]:
        key = (pool_id, (), 0)
        if key not in self._asks:
            self._asks[key] = [
                0,
                *accumulate(self.prices.get((pool_id, period), 0) for period in range(self.book.periods)),
            ]
        return self._asks[key]

    def welfare(self) -> Fraction:
        """Return accepted value less the asks of the lots used, in US dollars."""
        total = 0
        for order, _, match in self.matched():
            hours = self.gpus[match.pool_id] * self.book.period_hours
            total += micro(match.value_usd_per_gpu_hour) * match.nodes * order.duration_periods * hours
        for (lot_id, period), nodes in self.used.items():
            lot = self.entries.get((lot_id, period))
            if lot is not None:
                hours = self.gpus[lot.pool_id] * self.book.period_hours
                total -= micro(lot.ask_usd_per_gpu_hour) * nodes * hours
        return Fraction(total, MILLION)

    def check_welfare(self) -> Iterator[Violation]:
        """The certificate's welfare is what the matches are worth."""
        welfare = self.welfare()
        if Fraction(self.clearing.certificate.welfare_usd) != welfare:
            yield Violation(
                "welfare", "certificate", f"states {self.clearing.certificate.welfare_usd}, it is {welfare}"
            )

    def check_bound(self) -> Iterator[Violation]:
        """The shadow prices prove the bound, which is not under the welfare, and the stated shares follow from both."""
        certificate = self.clearing.certificate
        bound, welfare = Fraction(certificate.lp_bound_usd), Fraction(certificate.welfare_usd)
        proven = self._dual_bound()
        if bound < proven:
            yield Violation("bound", "certificate", f"states {show(bound)}, its shadow prices prove {show(proven)}")
        if welfare > bound:
            yield Violation("bound", "certificate", f"welfare {show(welfare)} is above the bound {show(bound)}")
        for code, text in find_wrong_shares(certificate):
            yield Violation(code, "certificate", text)

    def _dual_bound(self) -> Fraction:
        shadow = {cell: micro(lot.ask_usd_per_gpu_hour) for cell, lot in self.entries.items()}
        total = self.rules.rent() * MILLION
        for run in self.clearing.shadow_prices:
            price = micro(run.price_usd_per_gpu_hour)
            for period in range(run.from_period, run.to_period):
                lot = self.entries.get((run.lot_id, period))
                if lot is not None and price > shadow[run.lot_id, period]:
                    rent = price - shadow[run.lot_id, period]
                    shadow[run.lot_id, period] = price
                    total += rent * lot.nodes * self.gpus[lot.pool_id] * self.book.period_hours
        sums: dict[tuple[str, ...], list[int]] = {}
        for order in self.book.orders:
            total += max([0, *(self._surplus(order, candidate, shadow, sums) for candidate in _list_ways(order))])
        return Fraction(total, MILLION)

    def _surplus(
        self, order: Order, candidate: tuple[Bid, int], shadow: dict[Cell, int], sums: dict[tuple[str, ...], list[int]]
    ) -> Fraction | int:
        bid, nodes = candidate
        lots = self.allowed(bid)
        if lots not in sums:
            least = [
                min((shadow[lot.lot_id, period] for lot in self._offers(lots, period) if lot.nodes), default=0)
                for period in range(self.book.periods)
            ]
            sums[lots] = [0, *accumulate(least)]
        fits, costs, asks = self._fit_sums(bid, nodes), sums[lots], self._ask_sums(bid, nodes)
        value = micro(bid.value_usd_per_gpu_hour) * order.duration_periods
        scale = nodes * self.gpus[bid.pool_id] * self.book.period_hours
        best: Fraction | int = 0
        for start, end in self._spans(order):
            whole = fits[end] - fits[start] == order.duration_periods
            margin = value * nodes - asks[end] + asks[start] + int(order.order_id in self.rules.children)
            if whole and margin > 0 and self.rules.fits_alone(order, bid, nodes, start):
                charge = self.rules.charge(order, bid, nodes, start) * MILLION
                best = max(best, (value - costs[end] + costs[start]) * scale - charge)
        return best

    def _ask_sums(self, bid: Bid, nodes: int) -> list[int]:
        """Return the prefix sums of what an order would cost at the asks of an empty pool, 0 where it does not fit."""
        key = (bid.pool_id, self.allowed(bid), nodes)
        if key not in self._asks:
            self._asks[key] = [0, *accumulate(self._ask_cost(key[1], nodes, t) for t in range(self.book.periods))]
        return self._asks[key]

    def _ask_cost(self, lots: tuple[str, ...], nodes: int, period: int) -> int:
        cost, need = 0, nodes
        for lot in sorted(self._offers(lots, period), key=lambda lot: lot.ask_usd_per_gpu_hour):
            take = min(need, lot.nodes)
            cost += take * micro(lot.ask_usd_per_gpu_hour)
            need -= take
        return cost

    def check_backstops(self) -> Iterator[Violation]:
        """Backstop orders got no more than what the others left, at the prices that they set."""
        for code, subject, text in BackstopAudit(self.book, self.clearing).find():
            yield Violation(code, subject, text)

    def check_hashes(self) -> Iterator[Violation]:
        """The certificate names these prices and these decisions."""
        certificate, decisions = self.clearing.certificate, (*self.clearing.decisions, *self.clearing.backstops)
        if certificate.prices_hash != hash_json(render_prices(self.clearing.prices)):
            yield Violation("prices_hash", "certificate", "the prices have another hash than the certificate")
        if certificate.decisions_hash != hash_json(render_decisions(decisions)):
            yield Violation("decisions_hash", "certificate", "the decisions have another hash than the certificate")


def _list_ways(order: Order) -> Iterator[tuple[Bid, int]]:
    """Yield the bids of an order at each of its sizes."""
    return ((bid, nodes) for bid in order.bids for nodes in list_sizes(order, bid))


def _covers(lots: tuple[str, ...], match: Match) -> bool:
    return {share.lot_id for share in match.lots} <= set(lots)
