"""Checks that what takes two persons was done by two: a request, an approval by another person, then the act."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from marketplace.auditor.given import Given
from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message

COUNTED: Final = timedelta(hours=24)
"""How long what one person alone moved out of an account counts toward the limit."""
RECORDED: Final = timedelta(days=7)
"""How long a deposit counts toward the limit of the one person of the platform that recorded it."""
BOUGHT: Final = timedelta(days=7)
"""How long what one person alone bought counts toward the limit."""
_BUYING: Final = ("order.placed.v1", "order.amended.v1", "quote.held.v1", "service_line.agreed.v1")
_TOLD: Final = frozenset({"proposal.made.v1", "proposal.agreed.v1"})
_DEPOSIT: Final = ("kind", "amount_usd", "reference")


@dataclass(slots=True)
class Limited:
    """One account's limits, what counts toward them, its requests, and deposits that one person alone recorded.

    `bought` has the holds by which one person alone bought, `holds` the dollars of each that were not freed again, and
    `promised` the principal of each purchase, by its id.
    """

    limit: Decimal | None = None
    order_limit: Decimal | None = None
    week_limit: Decimal | None = None
    used: list[tuple[datetime, Decimal]] = field(default_factory=list)
    requests: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    deposited: list[tuple[datetime, Decimal]] = field(default_factory=list)
    bought: list[tuple[datetime, str]] = field(default_factory=list)
    holds: dict[str, Decimal] = field(default_factory=dict)
    promised: dict[str, tuple[datetime, str, Decimal]] = field(default_factory=dict)

    @property
    def has_limit(self) -> bool:
        """Return whether one person alone may not do everything."""
        return (self.limit, self.order_limit, self.week_limit) != (None, None, None)


@dataclass(slots=True)
class Persons:
    """Folds limits and approvals, and checks every command that moves money out of an account.

    Attributes:
        accounts: By id.
        deposit_limit: The schedule's limit for what one person of the platform records as deposits.
        recorded: The deposits that each person recorded alone while there was such a limit, in the last 7 days.
        proposed: The effects of each proposal.
        given: What stock and rights are worth.
    """

    findings: Findings
    accounts: dict[str, Limited] = field(default_factory=dict)
    deposit_limit: Decimal | None = None
    recorded: dict[str, list[tuple[datetime, Decimal]]] = field(default_factory=dict)
    proposed: dict[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    given: Given = field(default_factory=Given)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        given: dict[str, Mapping[str, Any]] = {}
        counted: dict[str, Decimal] = {}
        limited = {name for name, account in self.accounts.items() if account.limit is not None}
        self._take_schedule(decision)
        buys = any(message.event_type in _BUYING for message in decision)
        for message in decision:
            if not message.event_type.startswith("account."):
                continue
            body, name = message.read(), message.event_type.split(".")[1]
            account = self.accounts.setdefault(body["account_id"], Limited())
            match name:
                case "approval_requested":
                    self._take_request(message, account, body)
                case "approval_given":
                    given[body["account_id"]] = self._take_given(message, account, body)
                case "approval_ended":
                    account.ended.add(body["approval_id"])
                case "limit_used":
                    counted[body["account_id"]] = self._take_used(message, account, body)
                case "deposited":
                    self._take_deposit(message, account, body, given.get(body["account_id"]))
                case "limit_set" | "withdrawn" | "hold_placed":
                    self._check(message, account, body, given.get(body["account_id"]), counted)
                case _:
                    pass
            self._take_hold(message, account, body, given.get(body["account_id"]), buys=buys)
        self._check_relations(decision, limited, given)
        agreed = {name for name, act in given.items() if act.get("kind") == "consent"}
        self._check_given(decision, limited - agreed, counted)

    def _check_given(
        self, decision: Sequence[Message], limited: Collection[str], counted: Mapping[str, Decimal]
    ) -> None:
        """Check that stock and rights which a party gives away, and principal which it gives up, count as such."""
        least: dict[str, Decimal] = {}
        is_told = any(message.event_type in _TOLD for message in decision)
        if any(message.event_type == "proposal.ended.v1" for message in decision):
            return  # it is void, and nothing is given
        for message in decision:
            party_id = message.headers.get("ce-actor", "")
            account_id = f"acc_{party_id[4:]}"
            acts = self._list_acts(message) if is_told else [(message.event_type, message.read())]
            for event_type, body in acts if account_id in limited else ():
                today = parse_instant(message.headers["ce-time"]).date()
                amount = self.given.find_least(event_type, body, party_id, today)
                if amount is not None:
                    least[account_id] = least.get(account_id, Decimal(0)) + amount
        for message in decision:
            if message.event_type.startswith("issuer."):
                self.given.take(message.event_type, message.read())
        for account_id, amount in least.items():
            text = f"{account_id} lets {amount} USD or more go, and {counted.get(account_id)} counts toward its limit"
            found = counted.get(account_id, Decimal(0)) >= amount
            self.findings.require(found, "persons", decision[0].sequence, text)

    def _check_relations(
        self, decision: Sequence[Message], limited: Collection[str], given: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Check that two persons state the relations of a party whose account limits one."""
        for message in decision:
            if message.event_type == "register.relation_stated.v1":
                body = message.read()
                account_id = f"acc_{body['party_id'][4:]}"
                act, stated = given.get(account_id, {}), (body.get("related_id"), body.get("owner"))
                same = (act.get("kind"), act.get("related_id"), act.get("owner")) == ("relation", *stated)
                text = f"one person of {account_id} states a relation; two agreed to {act or 'nothing'}"
                self.findings.require(same or account_id not in limited, "persons", message.sequence, text)

    def _list_acts(self, message: Message) -> list[tuple[str, Mapping[str, Any]]]:
        """Return what its actor proposes or agrees to by an event."""
        body = message.read()
        if message.event_type == "proposal.made.v1":
            self.proposed[body["proposal_id"]] = body["effects"]
        effects = self.proposed.get(body["proposal_id"], ()) if message.event_type in _TOLD else ()
        return [(effect["type"], json.loads(effect["body_json"])) for effect in effects]

    def _take_schedule(self, decision: Sequence[Message]) -> None:
        """Take the limit of deposits, and check that what one person alone recorded counts, and is within it."""
        alone, counted = [], []
        for message in decision:
            match message.event_type:
                case "schedule.published.v1":
                    limit = message.read()["terms"].get("deposit_alone_usd")
                    self.deposit_limit = None if limit is None else Decimal(limit)
                case "schedule.deposit_counted.v1":
                    body = message.read()
                    counted.append((body["person"], body["account_id"], body["amount_usd"], body["at"]))
                    self._count_recorded(message, body)
                case "account.deposited.v1" if message.read().get("alone_at") is not None:
                    body, acting = message.read(), message.headers.get("ce-actorperson", "")
                    alone.append((acting, body["account_id"], body["amount_usd"], body["alone_at"]))
                case _:
                    pass
        if alone and self.deposit_limit is None:
            alone = []
        text = f"one person alone recorded {alone}, and {counted} counts toward its limit"
        self.findings.require(alone == counted, "persons", decision[-1].sequence, text)

    def _count_recorded(self, message: Message, body: Mapping[str, Any]) -> None:
        person, at = body["person"], parse_instant(body["at"])
        before = (each for each in self.recorded.get(person, []) if each[0] > at - RECORDED)
        self.recorded[person] = [*before, (at, Decimal(body["amount_usd"]))]
        total, limit = sum((each[1] for each in self.recorded[person]), Decimal(0)), self.deposit_limit
        text = f"{person or 'nobody'} alone recorded deposits of {total} USD in 7 days; the limit is {limit}"
        within = limit is not None and person != "" and total <= limit
        self.findings.require(within, "persons", message.sequence, text)

    def _take_request(self, message: Message, account: Limited, body: dict[str, Any]) -> None:
        acting = message.headers.get("ce-actorperson", "")
        if body["act"]["kind"] != "deposit" and not message.headers.get("ce-actor", "").startswith("pty_"):
            acting = "platform"
        text = f"{acting or 'nobody'} asks in the name of {body['person']}"
        self.findings.require(acting == body["person"], "persons", message.sequence, text)
        account.requests[body["approval_id"]] = body

    def _take_given(self, message: Message, account: Limited, body: dict[str, Any]) -> Mapping[str, Any]:
        require, sequence, approval_id = self.findings.require, message.sequence, body["approval_id"]
        acting = message.headers.get("ce-actorperson", "")
        require(acting == body["person"], "persons", sequence, f"{acting or 'nobody'} approves as {body['person']}")
        require(approval_id not in account.ended, "persons", sequence, f"{approval_id} is over already")
        account.ended.add(approval_id)
        requested = account.requests.get(approval_id)
        if requested is None:
            self.findings.add("persons", sequence, f"{approval_id} was never asked for")
            return {}
        text = f"{body['person']} asked for {approval_id} and approves it"
        require(requested["person"] != body["person"], "persons", sequence, text)
        operator = body.get("operator")
        text = f"{operator} of the platform stands behind the request {approval_id} and its approval"
        require(operator is None or operator != requested.get("operator"), "persons", sequence, text)
        late = parse_instant(message.headers["ce-time"]) >= parse_instant(requested["approve_until"])
        require(not late, "persons", sequence, f"{approval_id} could be approved until {requested['approve_until']}")
        act: Mapping[str, Any] = requested["act"]
        return act

    def _take_used(self, message: Message, account: Limited, body: dict[str, Any]) -> Decimal:
        at, amount = parse_instant(body["at"]), Decimal(body["amount_usd"])
        account.used = [*(use for use in account.used if use[0] > at - COUNTED), (at, amount)]
        total = sum((used for _, used in account.used), Decimal(0))
        within = account.limit is None or total <= account.limit
        text = f"one person alone let {total} USD go in 24 hours, the limit is {account.limit}"
        self.findings.require(within, "persons", message.sequence, text)
        return amount

    def _take_deposit(
        self, message: Message, account: Limited, body: dict[str, Any], given: Mapping[str, Any] | None
    ) -> None:
        if body.get("provider", "manual") != "manual":
            return
        amount, at = Decimal(body["amount_usd"]), body.get("alone_at")
        if at is None:
            same = given is not None and [given.get(name) for name in _DEPOSIT] == [
                "deposit",
                *(body.get(name) for name in _DEPOSIT[1:]),
            ]
            text = f"two persons agreed to {given}, not to the deposit {body['reference']}"
            self.findings.require(same, "persons", message.sequence, text)
            return
        begin = parse_instant(at) - COUNTED
        account.deposited = [*(each for each in account.deposited if each[0] > begin), (parse_instant(at), amount)]
        total = sum((each[1] for each in account.deposited), Decimal(0))
        within = account.limit is None or total <= account.limit
        text = f"one person alone recorded deposits of {total} USD in 24 hours, the limit is {account.limit}"
        self.findings.require(within, "persons", message.sequence, text)

    def _take_hold(
        self, message: Message, account: Limited, body: dict[str, Any], given: Mapping[str, Any] | None, *, buys: bool
    ) -> None:
        """Take what a hold changes of purchases that one person alone made, and check a purchase."""
        name, hold_id = message.event_type.split(".")[1], body.get("hold_id")
        if name in {"hold_released", "hold_expired"} and hold_id in account.holds:
            account.holds[hold_id] -= Decimal(body["amount_usd"])
        is_purchase = buys and name == "hold_placed" and body["purpose"].startswith(("ord_", "svl_"))
        if is_purchase and (account.order_limit, account.week_limit) != (None, None):
            self._check_bought(message, account, body, given)

    def _check_bought(
        self, message: Message, account: Limited, body: dict[str, Any], given: Mapping[str, Any] | None
    ) -> None:
        """Check a purchase: two persons agreed to it, or it is within what one person alone may buy."""
        require, sequence = self.findings.require, message.sequence
        amount, at = body["amount_usd"], body.get("bought_at")
        if at is None:
            same = given is not None and (given.get("kind"), given.get("order_id")) == ("order", body["purpose"])
            require(same, "persons", sequence, f"two persons agreed to {given}, not to buy for {body['purpose']}")
            return
        bought_at, hold_id = parse_instant(at), body["hold_id"]
        owed, bought = Decimal(body.get("principal_usd", "0")), (bought_at, hold_id)
        account.bought = [*(each for each in account.bought if each[0] > bought_at - BOUGHT), bought]
        account.holds = {each: account.holds.get(each, Decimal(0)) for _, each in account.bought}
        account.holds[hold_id] += Decimal(amount)
        recent = (each for each in account.promised.values() if each[0] > bought_at - BOUGHT)
        account.promised = {each[1]: each for each in (*recent, (bought_at, body["purpose"], owed))}
        total = sum(account.holds.values()) + sum(each[2] for each in account.promised.values())
        within = account.order_limit is None or Decimal(amount) + owed <= account.order_limit
        within = within and (account.week_limit is None or total <= account.week_limit)
        limits = f"{account.order_limit} an order and {account.week_limit} in 7 days"
        text = f"one person alone bought for {amount} USD and owes {owed}, {total} in 7 days; it may spend {limits}"
        require(within, "persons", sequence, text)

    def _check(
        self,
        message: Message,
        account: Limited,
        body: dict[str, Any],
        given: Mapping[str, Any] | None,
        counted: Mapping[str, Decimal],
    ) -> None:
        name, is_party = message.event_type.split(".")[1], message.headers.get("ce-actor", "").startswith("pty_")
        is_limited = account.limit is not None
        if name == "limit_set":
            is_limited = account.has_limit
            account.limit, account.order_limit, account.week_limit = [
                None if body.get(each) is None else Decimal(body[each])
                for each in ("limit_usd", "order_limit_usd", "week_limit_usd")
            ]
        purpose = str(body.get("purpose", ""))
        for_other = name != "hold_placed" or purpose.startswith(("acc_", "mnd_", "bnd_"))
        if not is_limited or not is_party or not for_other:
            return
        kinds = {"limit_set": "limit", "withdrawn": "withdrawal", "hold_placed": "hold"}
        kind = "mandate" if purpose.startswith("mnd_") else kinds[name]
        if given is not None:
            same = given.get("kind") == kind and given.get("amount_usd") == body.get("amount_usd")
            self.findings.require(
                same, "persons", message.sequence, f"two persons agreed to {given}, not to this {kind}"
            )
            return
        alone = name != "limit_set" and counted.get(body["account_id"]) == Decimal(body["amount_usd"])
        text = f"one person alone did a {kind} that the limit of {body['account_id']} does not count"
        self.findings.require(alone, "persons", message.sequence, text)
