"""Let one part of the auditor read a log in memory, whole or without the events of a type."""

import json
from collections import defaultdict
from collections.abc import Sequence

from marketplace.auditor.consents import Consents
from marketplace.auditor.equity import Equity
from marketplace.auditor.relations import Relations
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


class CountedStakes(Stakes):
    """Stakes with the cap tables, proposals and principal that they read, kept up to date."""

    def __init__(self, findings: Findings) -> None:
        super().__init__(findings, CountedVotes(Findings()))

    def take(self, decision: Sequence[Message]) -> None:
        """Take one decision."""
        super().take(decision)
        self.votes.take(decision)


async def find_faults(build, log, drop=None, **changed):
    """Return what a part of the auditor finds in a log.

    Args:
        build: Makes the part, given where it puts its findings.
        log: The log.
        drop: The type of the events that are left out, or what is true of their messages.
        changed: Members of all events that have them, with values that nobody stored.
    """
    part, decisions = build(Findings()), defaultdict(list)
    async for page in log.read():
        for recorded in page:
            envelope = recorded.envelope
            headers = {
                "ce-type": envelope.type,
                "ce-causationid": envelope.causationid,
                "ce-actor": envelope.actor,
                "ce-actorperson": envelope.actorperson,
                "ce-time": envelope.time.isoformat(),
            }
            body, fault = recorded.body, {}
            if changed:
                fault = {name: value for name, value in changed.items() if name in json.loads(body)}
            if fault:
                body = json.dumps(json.loads(body) | fault).encode()
            message = Message(recorded.sequence, recorded.subject, headers, body)
            if not (drop(message) if callable(drop) else message.event_type == drop):
                decisions[message.decision].append(message)
    for decision in decisions.values():
        part.take(decision)
    return part.findings.kept
