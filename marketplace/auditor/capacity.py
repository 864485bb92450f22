"""Checks capacity: nodes taken of pools and lots at every instant, and the power that they draw at their sites.

A held quote ends before an auction that may award its capacity binds its orders. From then until the auction is
completed, no grant moves or is extended onto a lot that it has bound. A grant whose startup moves it takes free nodes
of its pool, also such that no lot offers. Nobody else takes the hours that are kept for it. No provider dates back by
more than an hour that nodes which had less power than they draw have it again. A closing that ends grants is put off a
day before it at the latest. A node states 5 kW for each GPU and 5 kW beside them at most.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from marketplace.auditor.spans import FOREVER, Load, find_peak, parse_instant, render_instant
from marketplace.auditor.stream import Findings, Message

Shares = list[tuple[str, Load]]

BACKDATED_MAX: Final = timedelta(hours=1)
PUT_OFF_MIN: Final = timedelta(days=1)
_KW_MAX: Final = 5


@dataclass(slots=True)
class Pool:
    """One pool, from its events alone.

    Attributes:
        offers: What each lot offers.
        taken: What each grant takes, by lot.
        failed: Nodes that do not work, by incident, without those that a tenant's meter shows.
        owners: The grant whose GPUs' evidence showed an incident.
        kept: By grant, the hours that it gave up for a late site and that nobody else may take, by lot.
        held: Future grants, for which held quotes set aside nodes of a grant that is resold.
        freed: The decision of the last release, its grant, and what that took before.
        closes_at: When it is to close, as last announced.
    """

    site_id: str
    nodes: int
    power_per_node_kw: int
    offers: dict[str, Load] = field(default_factory=dict)
    taken: dict[str, Shares] = field(default_factory=dict)
    failed: dict[str, Load] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    kept: dict[str, Shares] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    freed: tuple[str, str, Shares] = ("", "", [])
    closes_at: datetime = FOREVER

    def loads(self, lot_id: str | None = None) -> list[Load]:
        """Return the taken nodes of all lots; of one lot, what is taken or kept."""
        if lot_id is not None:
            return [load for lot, load in self.list_shares() if lot == lot_id]
        return [load for shares in self.taken.values() for _, load in shares]

    def list_shares(self) -> Shares:
        """Return what is taken or kept, by lot."""
        return [share for shares in (*self.taken.values(), *self.kept.values()) for share in shares]

    def list_failed(self) -> Iterator[Load]:
        """Yield nodes that do not work: of those of a grant by evidence, those that it has not taken."""
        yield from (load for incident_id, load in self.failed.items() if incident_id not in self.owners)
        for grant_id in set(self.owners.values()):
            mine = [self.failed[each] for each, owner in self.owners.items() if owner == grant_id]
            own = [load for _, load in self.taken.get(grant_id, [])]
            edges = sorted({at for load in (*mine, *own) for at in (load.start, load.end)})
            for begin, stop in pairwise(edges):
                down = sum(each.amount for each in mine if each.start <= begin < each.end)
                held = sum(each.amount for each in own if each.start <= begin < each.end)
                yield Load(begin, stop, max(down - held, 0))

    def list_claimed(self, start: datetime, end: datetime) -> list[Load]:
        """Return the nodes that lots offer over a span, or that are taken of them where these are more."""
        shares = self.list_shares()
        loads = (*self.offers.values(), *(load for _, load in shares))
        cuts = {at for load in loads for at in (load.start, load.end)}
        edges = [start, *sorted(at for at in cuts if start < at < end), end]
        lots = {lot for lot, _ in shares} | set(self.offers)
        claimed: list[Load] = []
        for lot_id in lots:
            offer, taken = self.offers.get(lot_id), self.loads(lot_id)
            for begin, stop in pairwise(edges):
                offered = offer.amount if offer is not None and offer.start <= begin < offer.end else 0
                amount = sum(load.amount for load in taken if load.start <= begin < load.end)
                claimed.append(Load(begin, stop, max(offered, amount)))
        return claimed


def parse_shares(rows: Sequence[dict[str, Any]]) -> Shares:
    """Return the shares of an event's lots."""
    return [(row["lot_id"], Load(parse_instant(row["start"]), parse_instant(row["end"]), row["nodes"])) for row in rows]


def cut(shares: Shares, end: datetime) -> Shares:
    """Return the shares without what lies at or after an instant."""
    return [(lot, load._replace(end=min(load.end, end))) for lot, load in shares if load.start < end]


@dataclass(slots=True)
class Site:
    """The power of one site, from its events alone.

    Attributes:
        status: ``planned``, ``converting`` or ``operating``.
        contracted_kw: The most kilowatts that may be live.
        live: Kilowatts in total that are live from an instant on, in the order of the instants.
        ready_at: When its conversion is to be ready; None if none is scheduled.
    """

    status: str
    contracted_kw: int
    live: list[tuple[datetime, int]]
    ready_at: datetime | None = None

    def find_power(self, at: datetime) -> int:
        """Return the kilowatts that may be sold at an instant: those that are live then.

        A planned site may sell all that it contracted, and so may a converting one from the instant on at which its
        conversion is to be ready.
        """
        ready = self.status == "converting" and self.ready_at is not None and at >= self.ready_at
        if self.status == "planned" or ready:
            return self.contracted_kw
        return self.find_live(at)

    def find_serving(self, at: datetime) -> int:
        """Return the kilowatts that serve grants at an instant: none before a conversion is ready."""
        late = self.status == "converting" and self.ready_at is not None and at < self.ready_at
        return 0 if late else self.find_power(at)

    def add_power(self, at: datetime, kilowatts: int, *, less: bool) -> None:
        """State what is live from an instant on. Less power leaves later statements that name even less."""
        later = [(at, self.find_live(at)), *(step for step in self.live if step[0] > at)] if less else [(at, kilowatts)]
        before = [step for step in self.live if step[0] < at]
        self.live = [*before, *((begin, min(known, kilowatts)) for begin, known in later)]

    def find_live(self, at: datetime) -> int:
        """Return the kilowatts that are live at an instant, by the reports."""
        return [kilowatts for begin, kilowatts in self.live if begin <= at][-1]

    def list_changes(self) -> list[datetime]:
        """Return the instants at which its power may change."""
        return [*(begin for begin, _ in self.live), *([] if self.ready_at is None else [self.ready_at])]


@dataclass(slots=True)
class Auction:
    """An auction that is not completed.

    Attributes:
        binds_at: When it binds its orders.
        start: The begin of the span that it may award.
        end: Its end.
        book: The lots of its frozen book.
        is_locked: Whether the book is whole. Before, it binds all lots of its span.
    """

    binds_at: datetime
    start: datetime
    end: datetime
    book: set[str] = field(default_factory=set)
    is_locked: bool = False

    def keeps(self, lot_id: str, offer: Load | None, at: datetime) -> bool:
        """Return whether it has frozen a lot at an instant."""
        if self.is_locked:
            return lot_id in self.book
        return at >= self.binds_at and offer is not None and offer.start < self.end and self.start < offer.end


@dataclass(slots=True)
class Capacity:
    """Folds and checks the events of pools and sites, the ends of held quotes, and what auctions have frozen.

    Attributes:
        auctions: The auctions that are not completed.
    """

    findings: Findings
    pools: dict[str, Pool] = field(default_factory=dict)
    sites: dict[str, Site] = field(default_factory=dict)
    auctions: dict[str, Auction] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold the events of one command, and check the power that nodes then draw at each site."""
        spans: dict[str, list[tuple[datetime, datetime]]] = {}
        for message in decision:
            if message.event_type in {"pool.capacity_reserved.v1", "pool.capacity_resold.v1"}:
                body = message.read()
                pool = self.pools.get(body["pool_id"])
                if pool is not None:
                    span = (parse_instant(body["start"]), parse_instant(body["end"]))
                    spans.setdefault(pool.site_id, []).append(span)
        for message in decision:
            if message.event_type.startswith("auction."):
                self._take_auction(message.event_type.split(".")[1], message.read())
        self._check_hold(decision)
        self._check_frozen(decision)
        before = {site_id: self._list_draws(site_id) for site_id in spans}
        for message in decision:
            self._take(message)
        for site_id, known in spans.items():
            self._check_power(decision[-1], site_id, before[site_id], known)

    def _check_hold(self, decision: Sequence[Message]) -> None:
        """Check that a quote that is held ends before each auction that may award its capacity binds its orders.

        The decision records the hold on every auction that collects.
        """
        held = next((message.read() for message in decision if message.event_type == "quote.held.v1"), None)
        for message in decision:
            if message.event_type == "auction.supply_changed.v1" and held is not None:
                auction = self.auctions[message.read()["auction_id"]]
                until, match = parse_instant(held["expires_at"]), held["match"]
                start, end = parse_instant(match["start"]), parse_instant(match["end"])
                over = until <= auction.binds_at or end <= auction.start or auction.end <= start
                text = (
                    f"{held['quote_id']} is held until {render_instant(until)}, from an auction that binds its orders"
                )
                self.findings.require(over, "hold", message.sequence, f"{text} at {render_instant(auction.binds_at)}")

    def _take_auction(self, name: str, body: dict[str, Any]) -> None:
        auction_id = body["auction_id"]
        if name == "opened":
            start = parse_instant(body["horizon_start"])
            end = start + timedelta(hours=body["period_hours"] * body["periods"])
            binds_at = parse_instant(body.get("no_cancel_at") or body["locks_at"])
            self.auctions[auction_id] = Auction(binds_at, start, end)
        elif name == "completed":
            self.auctions.pop(auction_id, None)
        elif auction_id in self.auctions:
            auction = self.auctions[auction_id]
            auction.book |= {row.get("step_of") or row["lot_id"] for row in body.get("lots", ())}
            auction.is_locked |= name == "locked"

    def _check_frozen(self, decision: Sequence[Message]) -> None:
        """Check that a grant moves, or is extended, onto no lot on which an auction has bound orders."""
        for message in decision:
            if message.event_type not in {"grant.substituted.v1", "grant.extended.v1"}:
                continue
            body, at = message.read(), parse_instant(message.headers["ce-time"])
            offers = {lot_id: offer for pool in self.pools.values() for lot_id, offer in pool.offers.items()}
            for lot_id in dict.fromkeys(share["lot_id"] for share in body["lots"]):
                kept = [name for name, known in self.auctions.items() if known.keeps(lot_id, offers.get(lot_id), at)]
                text = f"{body['grant_id']} takes nodes of lot {lot_id} from orders that {kept} has bound"
                self.findings.require(not kept, "frozen", message.sequence, text)

    def _list_draws(self, site_id: str) -> list[Load]:
        """Return the power that the taken nodes of a site draw, in kilowatts."""
        pools = [pool for pool in self.pools.values() if pool.site_id == site_id]
        return [load._replace(amount=load.amount * pool.power_per_node_kw) for pool in pools for load in pool.loads()]

    def _check_power(
        self, last: Message, site_id: str, before: list[Load], spans: list[tuple[datetime, datetime]]
    ) -> None:
        """Check that a decision adds no draw above a site's power. Grants from before a derating may stay."""
        site, after = self.sites.get(site_id), self._list_draws(site_id)
        changes = [] if site is None else site.list_changes()
        for start, end in spans:
            cuts = [start, *sorted(at for at in changes if start < at < end), end]
            for begin, stop in pairwise(cuts):
                peak, at = find_peak(after, begin, stop)
                drawn = sum(load.amount for load in before if load.start <= at < load.end)
                power = 0 if site is None else site.find_power(begin)
                text = (
                    f"{peak} kW are drawn at site {site_id} at {render_instant(at)}, {power} may be sold and {drawn}"
                    " were drawn"
                )
                self.findings.require(peak <= max(power, drawn), "power", last.sequence, text)

    def _take(self, message: Message) -> None:
        aggregate, _, name = message.event_type.removesuffix(".v1").partition(".")
        if aggregate not in {"pool", "site"}:
            return
        body = message.read()
        if aggregate == "site":
            if name in {"energised", "conversion_slipped"}:
                self._check_prompt(message, body)
            self._take_site(name, body)
            return
        if name == "opened":
            gpus, power_kw = body["gpus_per_node"], body["power_per_node_kw"]
            text = f"{body['pool_id']} states {power_kw} kW for a node of {gpus} GPUs"
            self.findings.require(power_kw <= (gpus + 1) * _KW_MAX, "power", message.sequence, text)
            self.pools[body["pool_id"]] = Pool(body["site_id"], body["nodes"], power_kw)
            return
        pool = self.pools.get(body["pool_id"])
        if pool is None:
            self.findings.add("pool", message.sequence, f"{body['pool_id']} was never opened")
            return
        if name == "closing_announced":
            self._announce(message, body, pool)
        self._take_pool(message, name, body, pool)

    def _check_prompt(self, message: Message, body: dict[str, Any]) -> None:
        """Check that a provider dates back little that dark nodes have power."""
        if not message.headers.get("ce-actor", "").startswith("pty_"):
            return
        site, reported_at = self.sites[body["site_id"]], parse_instant(message.headers["ce-time"])
        at = parse_instant(body.get("at") or body["ready_at"])
        is_later = "ready_at" in body and at >= parse_instant(body["ready_at_before"])
        if is_later or at >= reported_at - BACKDATED_MAX:
            return
        draws = self._list_draws(body["site_id"])
        cuts = {at, *site.list_changes(), *(load.start for load in draws)}
        short = [
            begin
            for begin in cuts
            if at <= begin < reported_at
            and sum(load.amount for load in draws if load.start <= begin < load.end) > site.find_serving(begin)
        ]
        text = f"power of {body['site_id']}, which nodes lacked, is dated back to {render_instant(at)}"
        self.findings.require(not short, "power", message.sequence, text)

    def _take_site(self, name: str, body: dict[str, Any]) -> None:
        site_id = body["site_id"]
        match name:
            case "registered":
                live = [(datetime.min.replace(tzinfo=UTC), body["power_energised_kw"])]
                self.sites[site_id] = Site(body["status"], body["power_contracted_kw"], live)
            case "energised" | "derated":
                at, less = parse_instant(body["at"]), name == "derated"
                self.sites[site_id].add_power(at, body["power_energised_kw"], less=less)
                if name == "energised":
                    self.sites[site_id].status = "operating"
            case "conversion_scheduled" | "conversion_slipped":
                self.sites[site_id].ready_at = parse_instant(body["ready_at"])
                if name == "conversion_scheduled":
                    self.sites[site_id].status = "converting"

    def _take_pool(self, message: Message, name: str, body: dict[str, Any], pool: Pool) -> None:
        match name:
            case "capacity_offered" if body.get("grant_id") is None:
                offer = Load(parse_instant(body["start"]), parse_instant(body["end"]), body["nodes"])
                pool.offers[body["lot_id"]] = offer
            case "capacity_recalled":
                pool.offers.pop(body["lot_id"], None)
            case "capacity_reserved":
                self._reserve(message, body, pool)
            case "capacity_resold":
                self._resell(message, body, pool)
            case "capacity_held":
                pool.held.add(body["grant_id"])
            case "capacity_released":
                self._release(message, body, pool)
            case "node_failed" if body.get("meter") != "startup":
                pool.failed[body["incident_id"]] = Load(parse_instant(body["at"]), FOREVER, body["nodes"])
                if body.get("grant_id") is not None:
                    pool.owners[body["incident_id"]] = body["grant_id"]
            case "node_restored" if body["incident_id"] in pool.failed:
                failed = pool.failed[body["incident_id"]]
                pool.failed[body["incident_id"]] = failed._replace(end=parse_instant(body["at"]))

    def _announce(self, message: Message, body: dict[str, Any], pool: Pool) -> None:
        """Check that a closing is put off a day before it at the latest, unless no grant ends by it."""
        at, until = parse_instant(body["announced_at"]), pool.closes_at
        in_time = at <= until - PUT_OFF_MIN or all(load.end <= until for load in pool.loads())
        text = f"the closing of {body['pool_id']}, which ends grants at {render_instant(until)}, is put off at"
        self.findings.require(in_time, "closing", message.sequence, f"{text} {render_instant(at)}")
        pool.closes_at = parse_instant(body["closes_at"])

    def _reserve(self, message: Message, body: dict[str, Any], pool: Pool) -> None:
        start, end = parse_instant(body["start"]), parse_instant(body["end"])
        shares = parse_shares(body["lots"])
        before = pool.taken.get(body["grant_id"], [])
        text = f"{body['grant_id']} takes nodes from {render_instant(start)} on twice"
        self.findings.require(all(load.end <= start for _, load in before), "capacity", message.sequence, text)
        pool.taken[body["grant_id"]] = [*before, *shares]
        is_shifted = pool.freed[:2] == (message.decision, body["grant_id"])
        if is_shifted:
            pool.kept[body["grant_id"]] = parse_shares(body.get("kept", ()))
        every = [load for _, load in pool.list_shares()]
        self._require_room(message, f"pool {body['pool_id']}, with kept hours,", pool.nodes, every, (start, end))
        start = max(start, self._find_kept(message, pool, shares))
        if start >= end:
            return
        loads = [*pool.loads(), *pool.list_failed()]
        self._require_room(message, f"pool {body['pool_id']}", pool.nodes, loads, (start, end))
        if is_shifted:
            self._require_room(
                message, f"pool {body['pool_id']}", pool.nodes, pool.list_claimed(start, end), (start, end)
            )
            return
        for lot_id in dict.fromkeys(lot for lot, load in shares if load.end > start):
            offer = pool.offers.get(lot_id)
            text = f"lot {lot_id} is not for sale"
            if self.findings.require(offer is not None, "capacity", message.sequence, text) and offer is not None:
                self._require_room(message, f"lot {lot_id}", offer.amount, pool.loads(lot_id), (start, end))

    def _find_kept(self, message: Message, pool: Pool, shares: Shares) -> datetime:
        """Return until when a reservation is what the release in the same decision gave up.

        A grant whose span moves keeps its nodes, and those that the buyer of resold hours gives up are their seller's.
        """
        none = datetime.min.replace(tzinfo=UTC)
        decision, _, had = pool.freed
        ends = max((load.end for _, load in had), default=none)
        kept = [(lot, load) for lot, load in shares if load.start < ends]
        same = all(
            any(
                (lot, load.amount) == (known, old.amount) and old.start <= load.start and load.end <= old.end
                for known, old in had
            )
            for lot, load in kept
        )
        return ends if kept and same and decision == message.decision else none

    def _require_room(
        self, message: Message, where: str, nodes: int, loads: list[Load], span: tuple[datetime, datetime]
    ) -> None:
        peak, at = find_peak(loads, *span)
        text = f"{peak} nodes of {where} are taken or failed at {render_instant(at)}, it has {nodes}"
        self.findings.require(peak <= nodes, "capacity", message.sequence, text)

    def _resell(self, message: Message, body: dict[str, Any], pool: Pool) -> None:
        seller, buyer = body["grant_id_before"], body["grant_id"]
        span = (parse_instant(body["start"]), parse_instant(body["end"]))
        before, _ = find_peak(pool.loads(), *span)
        ends = max((load.end for _, load in pool.taken.get(seller, [])), default=span[1])
        pool.held.discard(buyer)
        pool.taken[seller] = cut(parse_shares(body["lots_left"]), ends)
        pool.taken[buyer] = parse_shares(body["lots"])
        after, at = find_peak(pool.loads(), *span)
        text = f"the resale by {seller} takes {after} nodes at {render_instant(at)} where {before} were taken"
        self.findings.require(after <= before, "capacity", message.sequence, text)

    def _release(self, message: Message, body: dict[str, Any], pool: Pool) -> None:
        grant_id, at = body["grant_id"], parse_instant(body["at"])
        if grant_id in pool.held:
            pool.held.discard(grant_id)
            return
        text = f"{grant_id} takes nothing of {body['pool_id']}"
        self.findings.require(grant_id in pool.taken, "capacity", message.sequence, text)
        pool.freed = message.decision, grant_id, [*pool.taken.get(grant_id, []), *pool.kept.get(grant_id, [])]
        pool.kept[grant_id] = cut(pool.kept.get(grant_id, []), at)
        pool.taken[grant_id] = cut(pool.taken.get(grant_id, []), at)
