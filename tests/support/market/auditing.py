"""Let one part of the auditor read a log in memory, whole or without the events of a type."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from marketplace.auditor.agreed import Agreed
from marketplace.auditor.chain import Chains
from marketplace.auditor.consents import Consents
from marketplace.auditor.equity import Equity
from marketplace.auditor.preemption import Preemption
from marketplace.auditor.ranges import Ranges
from marketplace.auditor.relations import Relations
from marketplace.auditor.report import Audit
from marketplace.auditor.rounds import Rounds
from marketplace.auditor.stakes import Stakes
from marketplace.auditor.stream import Findings, Message
from marketplace.auditor.votes import Votes


class CapTableConsents(Consents):
    """Consents, with the cap tables that they rest on."""

    def __init__(self, findings: Findings) -> None:
        super().__init__(findings, Equity(findings))

    def take(self, decision: Sequence[Message]) -> None:
        """Take one decision."""
        super().take(decision)
        self.equity.take(decision)


class CountedVotes(Votes):
    """Votes, with the relations, proposals and cap tables that they rest on."""

    def __init__(self, findings: Findings) -> None:
        super().__init__(findings, Consents(findings, Equity(findings)), Relations(findings))

    def take(self, decision: Sequence[Message]) -> None:
        """Take one decision."""
        self.relations.take(decision)
        self.consents.take(decision)
        super().take(decision)
        self.equity.take(decision)


class CountedOffers(Agreed):
    """Offers of equity, with the votes, cap tables and prices that they rest on."""

    def __init__(self, findings: Findings) -> None:
        super().__init__(findings, CountedVotes(Findings()))

    def take(self, decision: Sequence[Message]) -> None:
        """Take one decision."""
        super().take(decision)
        self.votes.take(decision)


class CountedRanges(Ranges):
    """Ranges of mandates, with the cap tables and prices that they rest on."""

    def __init__(self, findings: Findings) -> None:
        self.votes = CountedVotes(Findings())
        super().__init__(findings, self.votes.gains)

    def take(self, decision: Sequence[Message]) -> None:
        """Take one decision."""
        super().take(decision)
        self.votes.take(decision)


class OfferedParts(Preemption):
    """Offers by pro rata rights, with the votes, cap tables and prices that they rest on."""

    def __init__(self, findings: Findings) -> None:
        super().__init__(findings, CountedVotes(Findings()))

    def take(self, decision: Sequence[Message]) -> None:
        """Take one decision."""
        self.votes.relations.take(decision)
        self.votes.consents.take(decision)
        super().take(decision)
        Votes.take(self.votes, decision)
        self.votes.equity.take(decision)


class CountedRounds(Rounds):
    """Rounds, with the votes, cap tables and prices that they rest on."""

    def __init__(self, findings: Findings) -> None:
        super().__init__(findings, CountedVotes(Findings()))

    def take(self, decision: Sequence[Message]) -> None:
        """Take one decision."""
        self.votes.relations.take(decision)
        self.votes.consents.take(decision)
        Votes.take(self.votes, decision)
        super().take(decision)
        self.votes.equity.take(decision)


class CountedStakes(Stakes):
    """Stakes with the cap tables, proposals and principal that they read, kept up to date."""

    def __init__(self, findings: Findings) -> None:
        super().__init__(findings, CountedVotes(Findings()))

    def take(self, decision: Sequence[Message]) -> None:
        """Take one decision."""
        super().take(decision)
        self.votes.take(decision)


async def read_messages(log):
    """Return a log as the auditor reads it."""
    return [
        Message(
            each.sequence,
            each.subject,
            {
                "ce-type": each.envelope.type,
                "ce-causationid": each.envelope.causationid,
                "ce-actor": each.envelope.actor,
                "ce-actorperson": each.envelope.actorperson,
                "ce-time": each.envelope.time.isoformat(),
            },
            each.body,
        )
        async for page in log.read()
        for each in page
    ]


async def audit_log(log):
    """Return what the whole auditor finds in a log in memory, which has no headers of a stream to check."""
    audit = Audit()
    audit.chains = Chains(Findings())
    for message in await read_messages(log):
        audit.take(message)
    audit.finish()
    return audit.findings.kept


async def find_faults(build, log, drop=None, **changed):
    """Return what a part of the auditor finds in a log.

    Args:
        build: Makes the part, given where it puts its findings.
        log: The log.
        drop: The type of the events that are left out, or what is true of their messages.
        changed: Members of all events that have them, with values that nobody stored.
    """
    part, decisions = build(Findings()), defaultdict(list)
    for stored in await read_messages(log):
        message, fault = stored, {}
        if changed:
            fault = {name: value for name, value in changed.items() if name in stored.read()}
        if fault:
            message = replace(stored, body=json.dumps(stored.read() | fault).encode())
        if not (drop(message) if callable(drop) else message.event_type == drop):
            decisions[message.decision].append(message)
    for decision in decisions.values():
        part.take(decision)
    return part.findings.kept
