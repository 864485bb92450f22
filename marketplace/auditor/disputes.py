"""Checks disputes: both sides only approach each other, deadlines hold, and each dispute ends in time.

A payer answers for itself alone: what it offers waits for the other payer, if that counts less. The last word of the
side that spoke last is what silence settles. What the provider gives up takes nothing from who resold the hours, unless
that agreed to it or let its time pass. What that answered once stands against the provider's silence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message

ZERO: Final = Decimal(0)
FINAL: Final = frozenset({"platform", "undecided"})
SILENT: Final = frozenset({"silence", "undecided"})
PAYERS: Final = ("startup", "holder")


@dataclass(slots=True)
class Dispute:
    """A running dispute, from its events alone. Amounts are in GPU-seconds, or in hours of a service line.

    Attributes:
        position: What the provider charges at most.
        counts: What each payer that disputes says was delivered.
        paid: What was paid before its end.
        awaits: Who has to act: ``provider``, ``payers``, one of them, or ``platform``.
        due: Until when it has to act.
        referred: Whether a side asked the platform.
        unheard_until: Until when the startup may still speak, for which only its meter does; None: it has spoken.
        offer: The last answer, if it offers an amount that still lies between count and position.
        offered_by: Whose offer it is.
        agreed: Who agrees to it.
        heard_until: Until when the silence of who resold the hours agrees to nothing; None: it loses nothing.
        floor: The least to which it agrees.
    """

    position: Decimal
    counts: dict[str, Decimal] = field(default_factory=dict)
    paid: Decimal = ZERO
    awaits: str = "provider"
    due: datetime | None = None
    referred: bool = False
    unheard_until: datetime | None = None
    offer: Decimal | None = None
    offered_by: str = ""
    agreed: set[str] = field(default_factory=set)
    heard_until: datetime | None = None
    floor: Decimal | None = None

    def is_heard(self, amount: Decimal, at: datetime) -> bool:
        """Return whether the provider may give up all above an amount, as far as who resold the hours is concerned."""
        if self.heard_until is None or amount >= self.position:
            return True
        return at >= self.heard_until if self.floor is None else amount >= self.floor

    def find_lacking(self, amount: Decimal, agreed: set[str]) -> str | None:
        """Return the payer that counts less than an amount and does not agree to it."""
        return next((side for side, count in self.counts.items() if count < amount and side not in agreed), None)

    def find_silence(self) -> Decimal | None:
        """Return what the silence of the awaited side settles; None: that of one payer settles nothing."""
        count = min(self.counts.values())
        offer = count if self.offer is None else self.offer
        if self.awaits == "payers":
            return offer if self.offered_by == "provider" and self.offer is not None else self.position
        is_agreed = self.offered_by in PAYERS and self.find_lacking(offer, self.agreed) is None
        return (offer if is_agreed else count) if self.awaits == "provider" else None

    def outlasts(self) -> bool:
        """Return whether the provider's silence would give up what an answer of who resold the hours keeps."""
        silence = self.find_silence()
        return self.awaits == "provider" and None not in {self.floor, silence} and self.floor > silence  # type: ignore[operator]

    def drop_passed(self) -> None:
        """Forget an offer that is not between count and position any more."""
        if self.offer is None or min(self.counts.values()) < self.offer < self.position:
            return
        self.offer, self.awaits = None, "payers" if self.awaits in PAYERS else self.awaits


@dataclass(slots=True)
class Disputes:
    """Folds and checks the events of disputed statements.

    Attributes:
        stated: What each statement charges, in GPU-seconds or hours.
        running: The disputes that have not ended.
        metered: By statement, the first statement of its period, and what was metered in the period when it was issued.
        resold: The provider of each statement of which who resold its hours is paid a part.
        decided: By first statement of a period, the metered amount for which the platform, or its silence, decided it.
    """

    findings: Findings
    stated: dict[str, Decimal] = field(default_factory=dict)
    running: dict[str, Dispute] = field(default_factory=dict)
    metered: dict[str, tuple[str, Decimal]] = field(default_factory=dict)
    resold: dict[str, str] = field(default_factory=dict)
    decided: dict[str, Decimal] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        for message in decision:
            aggregate, _, name = message.event_type.removesuffix(".v1").partition(".")
            if aggregate != "statement":
                continue
            body = message.read()
            statement_id = body["statement_id"]
            if name == "issued":
                self._issue(body)
            elif name == "disputed":
                self._dispute(message, body)
            elif (dispute := self.running.get(statement_id)) is not None:
                if body.get("by") == "startup" and not body.get("is_silent"):
                    dispute.unheard_until = None
                self._argue(message, name, body, dispute)

    def _issue(self, body: dict[str, Any]) -> None:
        statement_id, stated = body["statement_id"], _count(body["charges"])
        adjusted = body.get("adjustment") or {}
        after = Decimal(adjusted.get("gpu_seconds_after", 0)) + Decimal(adjusted.get("hours_after", "0"))
        self.stated[statement_id] = stated
        if Decimal(body["charges"].get("reseller_receives_usd", "0")) > 0:
            self.resold[statement_id] = body["provider_id"]
        self.metered[statement_id] = (adjusted["statement_id"], after) if adjusted else (statement_id, stated)

    def _dispute(self, message: Message, body: dict[str, Any]) -> None:
        stated = self.stated.get(body["statement_id"], ZERO)
        dispute = self.running.setdefault(body["statement_id"], Dispute(stated))
        count, known = _read(body, "gpu_seconds_counted", "hours_counted"), min(dispute.counts.values(), default=stated)
        base, metered = self.metered.get(body["statement_id"], ("", ZERO))
        text = f"{body['statement_id']} is disputed again, which the platform decided for {metered} metered"
        self.findings.require(metered > self.decided.get(base, Decimal(-1)), "dispute", message.sequence, text)
        text = f"{body['statement_id']} is counted as {count}, and {known} stood before"
        self.findings.require(count < known, "dispute", message.sequence, text)
        dispute.counts["holder" if body.get("by") == "holder" else "startup"] = count
        dispute.awaits, dispute.due = "provider", parse_instant(body["answer_until"])
        dispute.heard_until = dispute.due if body["statement_id"] in self.resold else None
        dispute.offer = dispute.offer if dispute.offered_by == "provider" else None
        dispute.drop_passed()
        if body.get("by") in {"meters", "startup", None}:
            dispute.unheard_until = dispute.due if body.get("by") == "meters" else None

    def _argue(self, message: Message, name: str, body: dict[str, Any], dispute: Dispute) -> None:
        if name == "answered":
            self._answer(message, body, dispute)
        elif name == "agreed":
            self._agree(message, body, dispute)
        elif name == "conceded":
            self._concede(message, body, dispute)
        elif name == "referred":
            if body.get("by") != "reseller" or not dispute.outlasts():
                self._check_time(message, body, dispute)
            dispute.awaits, dispute.due = "platform", parse_instant(body["decide_until"])
            dispute.referred = True
        elif name == "part_settled":
            count, dispute.paid = min(dispute.counts.values()), _count(body["charges"])
            if body.get("is_cash_due") and dispute.due and parse_instant(message.headers["ce-time"]) >= dispute.due:
                count = dispute.position
            text = f"{body['statement_id']} pays {dispute.paid} before its end, and {count} are not disputed"
            self.findings.require(dispute.paid <= count, "dispute", message.sequence, text)
            text = (
                f"{body['statement_id']} is paid before its startup, for which only its meter spoke, could dispute it"
            )
            is_early = dispute.unheard_until and parse_instant(message.headers["ce-time"]) < dispute.unheard_until
            self.findings.require(not is_early, "dispute", message.sequence, text)
        elif name == "resolved":
            self._resolve(message, body, dispute)

    def _answer(self, message: Message, body: dict[str, Any], dispute: Dispute) -> None:
        self._check_time(message, body, dispute)
        if body["by"] == "reseller":
            self._hear(message, body, dispute)
            return
        side = "provider" if body["by"] == "provider" else "payers"
        text = f"the {side} answer {body['statement_id']}, and the dispute awaits the {dispute.awaits}"
        self.findings.require(dispute.awaits in {side, body["by"]}, "dispute", message.sequence, text)
        lacking = None
        if body.get("gpu_seconds_offered") is not None or body.get("hours_offered") is not None:
            lacking = self._offer(message, body, dispute)
        else:
            own, count = dispute.counts.get(body["by"], dispute.position), min(dispute.counts.values())
            text = f"the {body['by']} insists on {own} in {body['statement_id']} without offering it, {count} counts"
            self.findings.require(side == "provider" or own == count, "dispute", message.sequence, text)
            dispute.offer = None
        due, awaits = parse_instant(body["answer_until"]), body.get("awaits")
        text = f"{body['statement_id']} awaits {awaits or 'the other side'}, and what is offered waits for {lacking}"
        is_right = awaits == lacking and (lacking is None or due == dispute.due)
        self.findings.require(is_right, "dispute", message.sequence, text)
        dispute.awaits, dispute.due = awaits or ("payers" if side == "provider" else "provider"), due

    def _hear(self, message: Message, body: dict[str, Any], dispute: Dispute) -> None:
        """Keep what who resold the hours agrees to; the payers answer if the provider's silence would take of it."""
        insists = body.get("gpu_seconds_offered") is None and body.get("hours_offered") is None
        dispute.floor = dispute.position if insists else _read(body, "gpu_seconds_offered", "hours_offered")
        answers = dispute.awaits == "provider" and (insists or dispute.floor > (dispute.find_silence() or ZERO))
        awaits, due = ("payers", None) if answers else (dispute.awaits, dispute.due)
        until = parse_instant(body["answer_until"])
        text = f"the reseller answers {body['statement_id']}, which awaits {body.get('awaits')} until {until} then"
        right = dispute.heard_until is not None and body.get("awaits") == awaits and due in {None, until}
        self.findings.require(right, "dispute", message.sequence, text)
        dispute.awaits, dispute.due, dispute.offer = awaits, until, None if answers else dispute.offer

    def _check_reseller(self, message: Message, body: dict[str, Any], dispute: Dispute, amount: Decimal) -> None:
        heard = dispute.is_heard(amount, parse_instant(message.headers["ce-time"]))
        text = f"the provider of {body['statement_id']} gives up all above {amount}, and its reseller {dispute.floor}"
        self.findings.require(heard, "dispute", message.sequence, text)

    def _offer(self, message: Message, body: dict[str, Any], dispute: Dispute) -> str | None:
        """Check and keep an offer, and return the payer whose word it waits for."""
        offer, count, by = _read(body, "gpu_seconds_offered", "hours_offered"), min(dispute.counts.values()), body["by"]
        most = dispute.position if dispute.awaits != by or by == "provider" else dispute.offer or dispute.position
        text = f"{offer} are offered, the count is {count} and the position {most}"
        self.findings.require(count < offer < most, "dispute", message.sequence, text)
        if by == "provider":
            self._check_reseller(message, body, dispute, offer)
        agreed = {by}
        if by != "provider" and dispute.offer is not None and dispute.offer >= offer:
            agreed |= dispute.agreed & set(PAYERS)
        dispute.offer, dispute.offered_by, dispute.agreed = offer, by, agreed
        return None if by == "provider" else dispute.find_lacking(offer, agreed)

    def _agree(self, message: Message, body: dict[str, Any], dispute: Dispute) -> None:
        by, until = body["by"], body.get("answer_until")
        has_reached = until is not None and dispute.awaits == "payers" and dispute.offer is None
        is_due = dispute.awaits == by or has_reached
        text = f"the {by} agrees in {body['statement_id']}, which awaits {dispute.awaits}: the provider answers {until}"
        self.findings.require(is_due == (until is not None), "dispute", message.sequence, text)
        early = dispute.due is not None and parse_instant(message.headers["ce-time"]) < dispute.due
        text = f"the {by} of {body['statement_id']} is called silent before {dispute.due}"
        self.findings.require(not (body.get("is_silent") and early), "dispute", message.sequence, text)
        dispute.agreed.add(by)
        if until is not None:
            dispute.awaits, dispute.due = "provider", parse_instant(until)

    def _concede(self, message: Message, body: dict[str, Any], dispute: Dispute) -> None:
        amount, by = _read(body, "gpu_seconds", "hours"), body["by"]
        if by == "provider":
            right = min(dispute.counts.values()) <= amount < dispute.position
            self._check_reseller(message, body, dispute, amount)
            dispute.position = amount
        else:
            right = dispute.counts.get(by, amount) < amount <= dispute.position
            dispute.counts[by] = amount
        text = f"the {by} of {body['statement_id']} concedes to {amount}, away from the other side"
        self.findings.require(right, "dispute", message.sequence, text)
        told, count = _read(body, "gpu_seconds_counted", "hours_counted"), min(dispute.counts.values())
        text = f"{told} is stated as the count of {body['statement_id']} by {body['counted_by']}, it is {count}"
        named = dispute.counts.get("startup" if body["counted_by"] == "meters" else body["counted_by"])
        self.findings.require(told == count == named, "dispute", message.sequence, text)
        dispute.drop_passed()

    def _check_time(self, message: Message, body: dict[str, Any], dispute: Dispute) -> None:
        late = dispute.due is not None and parse_instant(message.headers["ce-time"]) >= dispute.due
        text = f"{body['statement_id']} is answered after {dispute.due}"
        self.findings.require(not late, "dispute", message.sequence, text)

    def _resolve(self, message: Message, body: dict[str, Any], dispute: Dispute) -> None:
        del self.running[body["statement_id"]]
        amount, by, require = _count(body["charges"]), body["by"], self.findings.require
        text = f"{body['statement_id']} settles at {amount}, {dispute.paid} are paid and {dispute.position} charged"
        require(dispute.paid <= amount <= dispute.position, "dispute", message.sequence, text)
        if by == "silence":
            due = dispute.find_silence()
            text = f"{body['statement_id']} settles at {amount} by silence of the {dispute.awaits}, {due} stood"
            require(amount == due and not dispute.outlasts(), "dispute", message.sequence, text)
        if by in SILENT:
            early = dispute.due is not None and parse_instant(message.headers["ce-time"]) < dispute.due
            text = f"{body['statement_id']} settles by {by} before {dispute.due}"
            require(
                not early and (dispute.awaits == "platform") == (by == "undecided"), "dispute", message.sequence, text
            )
        actor = message.headers.get("ce-actor", "")
        if by in {"concession", "offer"} and actor == self.resold.get(body["statement_id"]):
            self._check_reseller(message, body, dispute, amount)
        text = f"{actor} decides {body['statement_id']} as the platform, asked: {dispute.referred}"
        is_asked = dispute.referred and not actor.startswith("pty_")
        require(by != "platform" or is_asked, "dispute", message.sequence, text)
        if by in FINAL:
            base, metered = self.metered.get(body["statement_id"], (body["statement_id"], ZERO))
            self.decided[base] = max(self.decided.get(base, ZERO), metered)


def _count(charges: dict[str, Any]) -> Decimal:
    return Decimal(charges["gpu_seconds"]) + Decimal(charges.get("service_hours", "0"))


def _read(body: dict[str, Any], gpu_seconds: str, hours: str) -> Decimal:
    """Return an amount in the statement's own unit."""
    return Decimal(body.get(gpu_seconds) or 0 if body.get(hours) is None else body[hours])
