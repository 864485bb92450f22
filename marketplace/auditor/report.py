"""One audit: every rule over a whole log, and what is unfinished at its end."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from marketplace.auditor.agreed import Agreed
from marketplace.auditor.alone import Alone
from marketplace.auditor.bearing import Bearing
from marketplace.auditor.binding import Binding
from marketplace.auditor.bonds import Bonds
from marketplace.auditor.capacity import Capacity
from marketplace.auditor.caps import Caps
from marketplace.auditor.causes import Causes
from marketplace.auditor.chain import Chains
from marketplace.auditor.claims import Claims
from marketplace.auditor.consents import Consents
from marketplace.auditor.deciders import Deciders
from marketplace.auditor.disputes import Disputes
from marketplace.auditor.ends import Ends
from marketplace.auditor.equity import Equity
from marketplace.auditor.evidence import Evidence
from marketplace.auditor.fees import Fees
from marketplace.auditor.index import Index
from marketplace.auditor.late import Late
from marketplace.auditor.lines import Lines
from marketplace.auditor.market import Market
from marketplace.auditor.milestones import Milestones
from marketplace.auditor.money import ZERO, Money
from marketplace.auditor.persons import Persons
from marketplace.auditor.preemption import Preemption
from marketplace.auditor.prepaid import Advances
from marketplace.auditor.proceeds import Proceeds
from marketplace.auditor.promises import Promises
from marketplace.auditor.ranges import Ranges
from marketplace.auditor.reaches import Reaches
from marketplace.auditor.reductions import Reductions
from marketplace.auditor.relations import Relations
from marketplace.auditor.replacements import Replacements
from marketplace.auditor.reschedules import Reschedules
from marketplace.auditor.rounding import Rounding
from marketplace.auditor.rounds import Rounds
from marketplace.auditor.sales import Sales
from marketplace.auditor.spans import parse_instant, render_instant
from marketplace.auditor.stages import Stages
from marketplace.auditor.stakes import Stakes
from marketplace.auditor.standing import Standing
from marketplace.auditor.stream import EMPTY, Findings, Message
from marketplace.auditor.tables import Expected, compare_tables
from marketplace.auditor.votes import Votes
from marketplace.auditor.welcome import Welcome

ENDED = frozenset({"cancelled", "expired", "unmatched"})
Follow = Callable[[int], AsyncGenerator[Message]]
TRIES_MAX = 20
"""How often the tables of a running market are looked at, until all stand at one position."""
OVERDUE = timedelta(hours=1)
SETTLED_BY = timedelta(days=9)
"""A day for late readings, seven to accept by silence, and one to spare."""


@dataclass(slots=True)
class Audit:
    """Takes every message of a log in order.

    Attributes:
        findings: What does not hold.
    """

    findings: Findings = field(default_factory=Findings)
    chains: Chains = field(init=False)
    money: Money = field(init=False)
    fees: Fees = field(init=False)
    ends: Ends = field(init=False)
    bearing: Bearing = field(init=False)
    bonds: Bonds = field(init=False)
    claims: Claims = field(init=False)
    replacements: Replacements = field(init=False)
    late: Late = field(init=False)
    lines: Lines = field(init=False)
    reaches: Reaches = field(init=False)
    caps: Caps = field(init=False)
    stages: Stages = field(init=False)
    advances: Advances = field(init=False)
    reschedules: Reschedules = field(init=False)
    capacity: Capacity = field(init=False)
    binding: Binding = field(init=False)
    causes: Causes = field(init=False)
    evidence: Evidence = field(init=False)
    promises: Promises = field(init=False)
    proceeds: Proceeds = field(init=False)
    welcome: Welcome = field(init=False)
    market: Market = field(init=False)
    standing: Standing = field(init=False)
    milestones: Milestones = field(init=False)
    disputes: Disputes = field(init=False)
    equity: Equity = field(init=False)
    sales: Sales = field(init=False)
    rounding: Rounding = field(init=False)
    rounds: Rounds = field(init=False)
    consents: Consents = field(init=False)
    reductions: Reductions = field(init=False)
    persons: Persons = field(init=False)
    alone: Alone = field(init=False)
    relations: Relations = field(init=False)
    index: Index = field(init=False)
    votes: Votes = field(init=False)
    preemption: Preemption = field(init=False)
    stakes: Stakes = field(init=False)
    ranges: Ranges = field(init=False)
    agreed: Agreed = field(init=False)
    deciders: Deciders = field(init=False)
    _decision: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Let every part report to the same findings."""
        self.chains = Chains(self.findings)
        self.money = Money(self.findings)
        self.fees = Fees(self.findings)
        self.ends = Ends(self.findings)
        self.bonds = Bonds(self.findings)
        self.claims = Claims(self.findings)
        self.bearing = Bearing(self.findings)
        self.replacements = Replacements(self.findings)
        self.late = Late(self.findings)
        self.lines = Lines(self.findings)
        self.reaches = Reaches(self.findings)
        self.stages = Stages(self.findings)
        self.advances = Advances(self.findings)
        self.reschedules = Reschedules(self.findings)
        self.capacity = Capacity(self.findings)
        self.binding = Binding(self.findings, self.capacity)
        self.causes = Causes(self.findings, self.capacity)
        self.evidence = Evidence(self.findings)
        self.promises = Promises(self.findings)
        self.proceeds = Proceeds(self.findings)
        self.welcome = Welcome(self.findings)
        self.market = Market(self.findings)
        self.standing = Standing()
        self.disputes = Disputes(self.findings)
        self.equity = Equity(self.findings)
        self.sales = Sales(self.findings, self.equity)
        self.rounding = Rounding(self.findings)
        self.consents = Consents(self.findings, self.equity)
        self.reductions = Reductions(self.findings)
        self.persons = Persons(self.findings)
        self.alone = Alone(self.findings)
        self.relations = Relations(self.findings)
        self.index = Index(self.findings)
        self.deciders = Deciders(self.findings)
        self.caps = Caps(self.findings, self.relations)
        self.votes = Votes(self.findings, self.consents, self.relations)
        self.rounds = Rounds(self.findings, self.votes)
        self.milestones = Milestones(self.findings, self.votes)
        self.preemption = Preemption(self.findings, self.votes)
        self.stakes = Stakes(self.findings, self.votes)
        self.ranges = Ranges(self.findings, self.votes.gains)
        self.agreed = Agreed(self.findings, self.votes)

    async def read(self, messages: AsyncIterator[Message], annotations: Iterable[Message] = ()) -> int:
        """Take a whole log, and return its last sequence.

        Args:
            messages: All of them, in order.
            annotations: Messages of the log's own subject: how to treat damaged messages and empty positions.
        """
        for message in annotations:
            if message.event_type == "log.annotated.v1":
                body = message.read()
                self.chains.annotated[body["sequence"]] = body["effect"]
            elif message.event_type == "log.gap_accepted.v1":
                body = message.read()
                self.chains.accepted[body["sequence"]] = len(body["lost"])
        async for message in messages:
            self.take(message)
        self.finish()
        return self.chains.last

    def take(self, message: Message) -> None:
        """Take the next message."""
        self.chains.take(message)
        if message.subject == EMPTY or self.chains.annotated.get(message.sequence) == "passed_over":
            return
        if self._decision and self._decision[0].decision != message.decision:
            self._settle()
        self._decision.append(message)

    def finish(self) -> None:
        """Check the rules that span several decisions."""
        self._settle()
        self.money.finish(self.chains.last)
        self.relations.finish()

    def _settle(self) -> None:
        decision, self._decision = self._decision, []
        if not decision:
            return
        self.money.take(decision)
        self.fees.take(decision)
        self.ends.take(decision)
        self.bonds.take(decision)
        self.claims.take(decision)
        self.bearing.take(decision)
        self.replacements.take(decision)
        self.late.take(decision)
        self.lines.take(decision)
        self.reaches.take(decision)
        self.caps.take(decision)
        self.stages.take(decision)
        self.advances.take(decision)
        self.reschedules.take(decision)
        self.persons.take(decision)
        self.alone.take(decision)
        self.relations.take(decision)
        self.index.take(decision)
        self.stakes.take(decision)
        self.consents.take(decision)
        self.ranges.take(decision)
        self.agreed.take(decision)
        self.preemption.take(decision)
        self.votes.take(decision)
        self.rounds.take(decision)
        self.deciders.take(decision)
        self.reductions.take(decision)
        self.equity.take(decision)
        self.sales.take(decision)
        self.rounding.take(decision)
        self.market.take(decision)
        self.standing.take(decision)
        self.milestones.take(decision)
        self.disputes.take(decision)
        self.binding.take(decision)
        self.evidence.take(decision)
        self.causes.take(decision)
        self.capacity.take(decision)
        self.promises.take(decision)
        self.proceeds.take(decision)
        self.welcome.take(decision)

    async def compare(self, database_url: str, follow: Follow | None = None) -> int:
        """Compare the tables with the events; return how many rows were compared.

        With `follow`, which reads the messages above a sequence, the log may be written meanwhile: it is read on to
        where the tables stand.
        """

        async def expect(position: int) -> Expected:
            if follow is not None and position > self.chains.last:
                async with aclosing(follow(self.chains.last)) as messages:
                    await self._read_on(messages, position)
            return Expected(self.money, self.equity, self.market, self.standing, self.chains.last)

        return await compare_tables(database_url, self.findings, expect, 1 if follow is None else TRIES_MAX)

    async def _read_on(self, messages: AsyncIterator[Message], position: int) -> None:
        """Take the messages up to a position, and the rest of the decision to which the last of them belongs."""
        async for message in messages:
            is_over = not self._decision or message.decision != self._decision[0].decision
            if message.sequence > position and is_over:
                break
            self.take(message)
        self._settle()

    def list_hanging(self) -> list[str]:
        """Return what should have ended by the time of the last event, and did not.

        The last decision counts too: it is stored in one batch, so all of it was read.
        """
        self._settle()
        market, hanging = self.market, []
        for auction_id, auction in market.auctions.items():
            if auction.status in {"locked", "cleared"}:
                hanging.append(f"auction {auction_id} is {auction.status}")
            elif auction.status == "carried out":
                locked = [order_id for order_id in auction.locked if market.orders[order_id] == "locked"]
                hanging += [f"order {order_id} is locked, and no auction is at work on it" for order_id in locked]
        hanging += self._list_holds()
        hanging += self._list_grants()
        hanging += self._list_disputes()
        for statement_id, due in market.due.items():
            status = market.statements[statement_id]
            if status in {"issued", "resolved"} and market.now is not None and due + OVERDUE < market.now:
                hanging.append(f"statement {statement_id} is {status}, it was due at {render_instant(due)}")
        return hanging

    def _list_disputes(self) -> list[str]:
        """Return disputes whose deadline passed and that silence did not settle."""
        now, hanging = self.market.now, []
        for statement_id, dispute in self.disputes.running.items():
            if dispute.due is not None and now is not None and dispute.due + OVERDUE < now:
                due = render_instant(dispute.due)
                hanging.append(f"statement {statement_id} is disputed, the {dispute.awaits} had until {due}")
        return hanging

    def _list_grants(self) -> list[str]:
        """Return grants that ended too long ago to be unsettled, unless a statement is disputed."""
        market, hanging = self.market, []
        for grant_id, grant in market.grants.items():
            over = market.now is not None and grant.end + SETTLED_BY < market.now
            if over and grant.status != "completed" and not grant.disputed:
                hanging.append(f"grant {grant_id} is {grant.status}, it ended at {render_instant(grant.end)}")
        return hanging

    def _list_holds(self) -> list[str]:
        """Return holds whose purpose has ended."""
        hanging, market = [], self.market
        for account in self.money.accounts.values():
            for hold_id, hold in account.holds.items():
                expiry = None if hold.expires_at is None else parse_instant(hold.expires_at)
                if hold.left and expiry is not None and market.now is not None and expiry + OVERDUE < market.now:
                    hanging.append(f"hold {hold_id} keeps {hold.left} USD, it expired at {hold.expires_at}")
        hanging += self._list_asked()
        for order_id, (account_id, hold_id) in market.order_holds.items():
            left = self._find_left(account_id, hold_id)
            if left and market.orders[order_id] in ENDED:
                hanging.append(f"hold {hold_id} keeps {left} USD for order {order_id}, which has ended")
        for grant_id, grant in market.grants.items():
            left = self._find_left(grant.account_id, grant.hold_id)
            if left and grant.status == "completed":
                hanging.append(f"hold {grant.hold_id} keeps {left} USD for grant {grant_id}, which is completed")
        return hanging

    def _list_asked(self) -> list[str]:
        """Return holds of requests for approval that are over."""
        hanging = []
        for account_id, limited in self.persons.accounts.items():
            for approval_id in sorted(limited.ended & limited.requests.keys()):
                hold_id = limited.requests[approval_id]["hold_id"] or ""
                left = self._find_left(account_id, hold_id)
                if left:
                    hanging.append(f"hold {hold_id} keeps {left} USD for {approval_id}, which is over")
        return hanging

    def _find_left(self, account_id: str, hold_id: str) -> Decimal:
        """Return the rest of a hold; 0 if there is none."""
        account = self.money.accounts.get(account_id)
        hold = None if account is None else account.holds.get(hold_id)
        return ZERO if hold is None else hold.left
