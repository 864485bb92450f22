"""Checks dollars: deposits are available or held, nothing is paid twice, and every payment has two sides."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message

ZERO: Final = Decimal(0)
_ANY_AMOUNT: Final = frozenset(
    {
        "closed",
        "credit_committed",
        "credit_limited",
        "hold_placed",
        "hold_expired",
        "hold_released",
        "limit_set",
        "reserved",
        "approval_requested",
        "approval_given",
        "approval_ended",
    }
)
"""Events of an account that may state no amount, or 0."""


@dataclass(slots=True)
class Hold:
    """Money set aside on an account.

    Attributes:
        purpose: The id of what it is for, such as an order, a mandate, a quote or an account.
        expires_at: When the rest is available again; None if the end of its purpose releases it.
        first: The sequence of the event that placed it.
    """

    purpose: str
    expires_at: str | None = None
    first: int = 0
    left: Decimal = ZERO
    captured: Decimal = ZERO
    expired: bool = False


@dataclass(slots=True)
class Account:
    """One account, from its events alone."""

    party_id: str
    available: Decimal = ZERO
    holds: dict[str, Hold] = field(default_factory=dict)
    references: dict[tuple[str, str], int] = field(default_factory=dict)
    reserves: dict[str, tuple[Decimal, str]] = field(default_factory=dict)

    def sum_reserves(self, at: str) -> Decimal:
        """Return the dollars that the account keeps for others at an instant."""
        now = parse_instant(at)
        return sum((amount for amount, until in self.reserves.values() if now < parse_instant(until)), ZERO)

    @property
    def held(self) -> Decimal:
        """Return the sum of the holds."""
        return sum((hold.left for hold in self.holds.values()), ZERO)


@dataclass(slots=True)
class Money:
    """Folds and checks the events of accounts and mandates.

    Attributes:
        accounts: By id.
        budgets: Budget that is held or committed, by mandate and hold.
        limits: The budgets of each mandate: for compute, and for cash besides.
        direct: Holds for cash besides compute.
        unapproved: Mandates and holds that wait for the holder's approval.
        outside: Deposits less withdrawals.
        wires: The sequence of each deposit's event, by the letters and digits of its reference.
    """

    findings: Findings
    wires: dict[str, int] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    budgets: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    limits: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    direct: set[str] = field(default_factory=set)
    unapproved: set[tuple[str, str]] = field(default_factory=set)
    outside: Decimal = ZERO

    def take(self, decision: Sequence[Message]) -> None:
        """Fold the events of one command, and check the state after it."""
        halves: Counter[tuple[str, str, Decimal, str]] = Counter()
        touched: dict[str, int] = {}
        for message in decision:
            aggregate, _, name = message.event_type.removesuffix(".v1").partition(".")
            body = message.read()
            if aggregate == "account":
                self._take_account(message, name, body, halves)
                touched[body["account_id"]] = message.sequence
            elif aggregate == "mandate":
                self._take_mandate(message, name, body)
        for (payer, payee, amount, cause), count in halves.items():
            if count:
                text = (
                    f"{amount} USD from {payer} to {payee} for {cause} were " + ("not credited", "not paid")[count < 0]
                )
                self.findings.add("payment", decision[0].sequence, text)
        for account_id, sequence in touched.items():
            left = self.accounts[account_id].available if account_id in self.accounts else ZERO
            self.findings.require(left >= 0, "available", sequence, f"{account_id} has {left} USD available")
        for message in decision:
            self._check_kept(message)

    def _check_kept(self, message: Message) -> None:
        """Check that a party withdrew and set aside nothing that its account keeps for others.

        The platform may move what a court orders. A hold for a grant may be money that another hold of it frees.
        """
        name, body = message.event_type.removeprefix("account.").removesuffix(".v1"), message.read()
        account = self.accounts.get(body.get("account_id", ""))
        if account is None or not message.headers.get("ce-actor", "").startswith("pty_"):
            return
        is_new = name == "hold_placed" and not body["purpose"].startswith("grt_")
        if name == "withdrawn" or (is_new and account.holds[body["hold_id"]].first == message.sequence):
            kept = account.sum_reserves(message.headers["ce-time"])
            text = f"{body['account_id']} has {account.available} USD left and keeps {kept} USD for others"
            self.findings.require(account.available >= kept, "reserve", message.sequence, text)

    def _take_account(self, message: Message, name: str, body: dict[str, Any], halves: Counter[Any]) -> None:
        account_id, sequence, require = body["account_id"], message.sequence, self.findings.require
        if name == "opened":
            require(account_id not in self.accounts, "account", sequence, f"{account_id} was opened before")
            self.accounts.setdefault(account_id, Account(body["party_id"]))
            return
        account = self.accounts.get(account_id)
        if account is None:
            self.findings.add("account", sequence, f"{account_id} was never opened")
            account = self.accounts.setdefault(account_id, Account(body["party_id"]))
        require(account.party_id == body["party_id"], "account", sequence, f"{account_id} is of {account.party_id}")
        amount = Decimal(body.get("amount_usd", "0"))
        least = amount >= 0 if name in _ANY_AMOUNT else amount > 0
        require(least, "amount", sequence, f"{name} {amount} USD")
        if name.startswith("hold_"):
            self._take_hold(message, name, body, account, amount)
        elif name in {"deposited", "withdrawn"}:
            signed = amount if name == "deposited" else -amount
            account.available += signed
            self.outside += signed
            key = (name, body["reference"])
            first = account.references.setdefault(key, sequence)
            require(first == sequence, "reference", sequence, f"{name} {body['reference']!r} of event {first} again")
            if name == "deposited":
                wire = "".join(filter(str.isalnum, unicodedata.normalize("NFKC", body["reference"]).casefold()))
                first = self.wires.setdefault(wire, sequence)
                require(first == sequence, "reference", sequence, f"{body['reference']!r} is the payment of {first}")
        elif name == "reserved":
            account.reserves[body["cause"]] = amount, body["until"]
        elif name in {"debited", "credited"}:
            account.available += amount if name == "credited" else -amount
        if name in {"debited", "hold_captured"}:
            halves[account_id, body["payee_account_id"], amount, body["cause"]] += 1
        elif name == "credited":
            halves[body["payer_account_id"], account_id, amount, body["cause"]] -= 1

    def _take_hold(self, message: Message, name: str, body: dict[str, Any], account: Account, amount: Decimal) -> None:
        hold_id, sequence = body["hold_id"], message.sequence
        if name == "hold_placed":
            account.available -= amount
            placed = Hold(body["purpose"], body.get("expires_at"), sequence)
            account.holds.setdefault(hold_id, placed).left += amount
            return
        hold = account.holds.get(hold_id)
        if hold is None:
            self.findings.add("hold", sequence, f"hold {hold_id} was never placed")
            return
        text = f"{name} takes {amount} USD of hold {hold_id}, which has {hold.left}"
        self.findings.require(amount <= hold.left, "hold", sequence, text)
        hold.left -= amount
        if name == "hold_captured":
            hold.captured += amount
            self.findings.require(not hold.expired, "hold", sequence, f"hold {hold_id} had expired")
        else:
            account.available += amount
        if name == "hold_expired":
            self.findings.require(not hold.expired, "hold", sequence, f"hold {hold_id} expires a second time")
            self.findings.require(hold.left == 0, "hold", sequence, f"hold {hold_id} expires and keeps {hold.left} USD")
            hold.expired = True

    def _take_mandate(self, message: Message, name: str, body: dict[str, Any]) -> None:
        mandate_id, sequence = body["mandate_id"], message.sequence
        holds = self.budgets.setdefault(mandate_id, {})
        amount = Decimal(body.get("amount_usd", "0"))
        if name in {"granted", "amended"}:
            terms = body["terms"]
            self.limits[mandate_id] = Decimal(terms["budget_usd"]), Decimal(terms.get("direct_budget_usd") or "0")
        elif name == "budget_held":
            self._take_budget(message, body, holds, amount)
        elif name in {"budget_released", "order_refused"}:
            left = holds[body["hold_id"]] = holds.get(body["hold_id"], ZERO) - amount
            self.findings.require(left >= 0, "budget", sequence, f"{mandate_id} releases {-left} USD more than it held")
        elif name == "revoked":
            for hold in body.get("ended", ()):
                holds[hold["hold_id"]] = holds.get(hold["hold_id"], ZERO) - Decimal(hold["amount_usd"])
        elif name == "order_approved":
            self.unapproved.discard((mandate_id, body["hold_id"]))
        elif name == "budget_captured":
            waits = (mandate_id, body["hold_id"]) in self.unapproved
            text = f"{mandate_id} pays for hold {body['hold_id']}, which its holder has not approved"
            self.findings.require(not waits, "budget", sequence, text)

    def _take_budget(self, message: Message, body: dict[str, Any], holds: dict[str, Decimal], amount: Decimal) -> None:
        mandate_id, hold_id, is_direct = body["mandate_id"], body["hold_id"], bool(body.get("direct"))
        holds[hold_id] = holds.get(hold_id, ZERO) + amount
        if is_direct:
            self.direct.add(hold_id)
        elif body.get("needs_approval"):
            self.unapproved.add((mandate_id, hold_id))
        used = sum((held for each, held in holds.items() if (each in self.direct) == is_direct), ZERO)
        limit = self.limits.get(mandate_id, (ZERO, ZERO))[is_direct]
        self.findings.require(used <= limit, "budget", message.sequence, f"{mandate_id} holds {used} of {limit} USD")

    def finish(self, last: int) -> None:
        """Check that the accounts sum to deposits less withdrawals."""
        inside = sum((account.available + account.held for account in self.accounts.values()), ZERO)
        text = f"{inside} USD are on accounts, {self.outside} came in"
        self.findings.require(inside == self.outside, "money", last, text)
