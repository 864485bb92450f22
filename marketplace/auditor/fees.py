"""Checks fees: a held quote and an early end cost what was agreed, once, from the side that owes it to the other.

The seller of resold hours that their buyer gives up has them again, and the fee. The platform's fees of each statement
are paid and given back as it states, and are its grant's shares of what is paid. A seller of resold hours gives its
part of a credit back at once, or keeps what it lacks and pays that later.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.bearing import find_added, find_bearer, floor
from marketplace.auditor.stream import Findings, Message

ZERO: Final = Decimal(0)
_CENT: Final = Fraction(1, 100)
_ROUNDED: Final = Decimal("0.01")
"""Two sums are rounded to the cent, and a charge is their difference."""
_Fees = tuple[Decimal, Decimal, Decimal]
"""The platform's fees of provider, startup and reseller."""
_Payment = tuple[str, str, Decimal, str]
"""Payer, payee, amount and cause."""


@dataclass(slots=True)
class Fees:
    """Folds and checks the fees of quotes and grants.

    Attributes:
        quotes: The account that pays, and the fee as agreed, by quote; only quotes that cost a fee.
        grants: The event that issued each grant, with its last mark.
        settled: The platform's fees that provider, startup and reseller paid, less service credits, by statement.
        rests: What the seller of resold hours still has to give back, by its account and the credit.
    """

    findings: Findings
    quotes: dict[str, dict[str, Any]] = field(default_factory=dict)
    grants: dict[str, dict[str, Any]] = field(default_factory=dict)
    settled: dict[str, _Fees] = field(default_factory=dict)
    rests: dict[tuple[str, str], Decimal] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold the events of one command, and check that it pays exactly the fees that its events state."""
        owed: Counter[_Payment] = Counter()
        paid: Counter[_Payment] = Counter()
        self._check_platform(decision)
        self._check_rests(decision)
        bodies = (message.read() for message in decision if message.event_type == "grant.terminated.v1")
        events = (message.read() for message in decision if message.event_type == "grant.issued.v1")
        issued = {body["grant_id"]: body for body in events}
        ended = next((body["grant_id"] for body in bodies), "none")
        for message in decision:
            name = message.event_type.removesuffix(".v1")
            if name in {"account.hold_captured", "account.debited"}:
                body = message.read()
                cause = ended if body["cause"].startswith("end_") else body["cause"]
                if cause in self.quotes or cause in self.grants:
                    paid[body["account_id"], body["payee_account_id"], Decimal(body["amount_usd"]), cause] += 1
            elif name in {"quote.held", "grant.issued"}:
                self._begin(name, message)
            elif name in {"quote.released", "quote.expired"}:
                self._end_quote(name, message, owed)
            elif name == "grant.marked" and (grant := self.grants.get(message.read()["grant_id"])):
                self.grants[grant["grant_id"]] = {**grant, "mark": message.read()["mark"]}
            elif name == "grant.terminated":
                self._end_grant(message, owed, issued)
        for payment in owed.keys() | paid.keys():
            if owed[payment] != paid[payment]:
                payer, payee, amount, cause = payment
                times = f"{paid[payment]} times, and owes it {owed[payment]} times"
                text = f"{payer} pays {payee} {amount} USD for {cause} {times}"
                self.findings.add("fee", decision[0].sequence, text)

    def _begin(self, name: str, message: Message) -> None:
        body = message.read()
        if name == "grant.issued":
            self._check_resale(message, body)
            self.grants[body["grant_id"]] = body
        elif body.get("fee"):
            self.quotes[body["quote_id"]] = {"account_id": body["account_id"], **body["fee"]}

    def _check_resale(self, message: Message, body: dict[str, Any]) -> None:
        """Check that resold capacity is ended at no shorter notice, and for no smaller fee, than the seller's grant."""
        source = self.grants.get((body.get("resale") or {}).get("grant_id", ""))
        if source is None:
            return
        ends, own = body.get("ends") or {}, source.get("ends") or {}
        due = max((known or {}).get("notice_hours_min", 0) for known in (source.get("service"), own))
        kept = ends.get("notice_hours_min", 0) >= due
        kept = kept and Decimal(ends.get("value_usd_min", "0")) >= Decimal(own.get("value_usd_min", "0"))
        text = (
            f"{body['grant_id']} is resold, and ends on other terms than {source['grant_id']}, which needs {due} hours"
        )
        self.findings.require(kept, "fee", message.sequence, text)

    def _end_quote(self, name: str, message: Message, owed: Counter[_Payment]) -> None:
        body = message.read()
        quote, fee = self.quotes.get(body["quote_id"]), Decimal(body.get("fee_usd", "0"))
        agreed = ZERO if quote is None else Decimal(quote["fee_usd"])
        right = fee == agreed if name == "quote.expired" else ZERO <= fee <= agreed
        self.findings.require(right, "fee", message.sequence, f"{name} {body['quote_id']} costs {fee} of {agreed} USD")
        if fee and quote is not None:
            owed[quote["account_id"], quote["payee_account_id"], fee, body["quote_id"]] += 1

    def _end_grant(self, message: Message, owed: Counter[_Payment], issued: dict[str, dict[str, Any]]) -> None:
        body, fee = message.read(), Decimal(message.read().get("fee_usd", "0"))
        grant = self.grants.get(body["grant_id"])
        if grant is None:
            return
        self._check_seller(message, grant, fee, issued)
        left = grant.get("left", False) or body["by"] == "startup"
        self.grants[body["grant_id"]] = {**grant, "end": body["at"], "left": left}
        gets, adds, account_id = _read_seller(body, grant)
        if account_id is not None and adds:
            owed[account_id, grant["provider_account_id"], adds, body["grant_id"]] += 1
        if not fee:
            return
        sides = grant["startup_account_id"], grant["provider_account_id"]
        payer, payee = sides if body["by"] == "startup" else sides[::-1]
        stated = grant.get("ends") is not None or any(step.get("fees") for step in grant.get("notices", ()))
        free = not stated or body.get("for_cause", False) or body["by"] == "platform"
        self.findings.require(not free, "fee", message.sequence, f"{body['grant_id']} ends free of a fee, not of {fee}")
        holder, share = (None, Fraction(0)) if body["by"] == "startup" else find_bearer(grant)
        part = floor(Fraction(fee - gets) * share)
        for to, amount in ((payee, fee - gets - part), (holder, part), (account_id, gets)):
            if amount and to is not None:
                owed[payer, to, amount, body["grant_id"]] += 1

    def _check_seller(
        self, message: Message, grant: dict[str, Any], fee: Decimal, issued: dict[str, dict[str, Any]]
    ) -> None:
        """Check what the seller of resold capacity gets of the fee of an early end, adds to it, and has again.

        It has the hours again that its buyer gives up, unless it ended its own grant, and all that the buyer pays; or
        else the provider gets the share of what it is owed. Of a provider's fee the seller gets the part of the price
        that it adds.
        """
        body = message.read()
        gets, adds, account_id = _read_seller(body, grant)
        returned = body.get("returned_grant_id")
        paid = Fraction(grant["price_usd_per_gpu_hour"])
        price = Fraction((grant.get("resale") or {}).get("owed_usd_per_gpu_hour", paid))
        is_given_up = body["by"] == "startup" and not body.get("for_cause", False)
        if account_id is None or not (is_given_up or body["by"] == "provider"):
            right = not gets and not adds and returned is None
        elif returned is not None:
            new = issued.get(returned, {})
            kept = {name: grant[name] for name in ("pool_id", "nodes", "end", "provider_id")}
            kept |= {"startup_account_id": account_id, "start": body["at"]}
            has = bool(new) and Fraction(new["price_usd_per_gpu_hour"]) == price
            has = has and not self.grants.get(grant["resale"]["grant_id"], {}).get("left")
            right = is_given_up and gets == fee and not adds and has and all(new[name] == kept[name] for name in kept)
        elif not is_given_up:
            right = gets == floor(Fraction(fee) * find_added(grant)[1]) and not adds
        else:
            beyond = Fraction(fee) * (1 - price / paid) if paid else -Fraction(adds)
            right = (
                abs(Fraction(gets) - max(beyond, Fraction(0))) <= _CENT
                and Fraction(adds) <= max(-beyond, Fraction(0)) + _CENT
            )
        text = f"the end of {body['grant_id']} gives its seller {gets} USD of {fee}, takes {adds}, returns {returned}"
        self.findings.require(right, "fee", message.sequence, text)

    def _check_rests(self, decision: Sequence[Message]) -> None:
        """Check that resellers give back what credits state, or keep what they lack and pay it later."""
        due, paid, kept = Counter[tuple[str, str]](), Counter[tuple[str, str]](), dict[tuple[str, str], Decimal]()
        for message in decision:
            name, body = message.event_type.removesuffix(".v1"), message.read()
            if name == "statement.credited":
                gets, seller_id = _read_returned(body["charges"], self.grants.get(body["grant_id"], {}))
                if seller_id is not None:
                    due[seller_id, body["statement_id"][3:]] += gets  # type: ignore[assignment]
            elif name == "account.debited" and body["cause"][:4] in {"stm_", "rst_"}:
                paid[body["account_id"], body["cause"][3:]] += Decimal(body["amount_usd"])  # type: ignore[assignment]
            elif name == "account.reserved" and body["cause"].startswith("rst_"):
                kept[body["account_id"], body["cause"][3:]] = Decimal(body["amount_usd"])
        for key in due.keys() | kept.keys():
            owed, left = due[key] + self.rests.pop(key, ZERO), kept.get(key, ZERO)
            if left:
                self.rests[key] = left
            text = f"{key[0]} gives back {paid[key]} USD for stm{key[1]} and keeps {left}, and {owed} are due"
            self.findings.require(paid[key] + left == owed, "fee", decision[0].sequence, text)

    def _check_platform(self, decision: Sequence[Message]) -> None:
        """Check that the fees that the statements of a decision state are what it moves to the platform, in all."""
        moved, stated = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for message in decision:
            name, body = message.event_type.removesuffix(".v1"), message.read()
            if name in {"account.hold_captured", "account.debited"} and body["cause"].startswith("fee_"):
                amount, cause = Decimal(body["amount_usd"]), f"stm{body['cause'][3:]}"
                moved[body["account_id"], cause] += amount  # type: ignore[assignment]
                moved[body["payee_account_id"], cause] -= amount  # type: ignore[assignment]
            elif name.startswith("statement."):
                self._state_platform(name, message, stated)
        for account_id, cause in moved.keys() | stated.keys():
            if moved[account_id, cause] != stated[account_id, cause]:
                text = f"{account_id} pays {moved[account_id, cause]} USD of the platform's fee for {cause}, and"
                text += f" {stated[account_id, cause]} are stated"
                self.findings.add("fee", decision[0].sequence, text)

    def _state_platform(self, name: str, message: Message, stated: Counter[tuple[str, str]]) -> None:
        """Add the fees that a statement's event states, by account and cause."""
        body = message.read()
        grant = self.grants.get(body["grant_id"])
        fee = None if grant is None else grant.get("platform_fee")
        if grant is None or fee is None:
            return
        if "charges" in body:
            self._check_shares(message, grant, fee, body["charges"])
        statement_id, before = body["statement_id"], (ZERO, ZERO, ZERO)
        owed = _read_fees(body.get("charges"))
        if name == "statement.credited":
            given = _read_fees(body.get("service_credit"))
            owed = _subtract(given, owed)
        elif name in {"statement.part_settled", "statement.accepted"}:
            before = self.settled.get(statement_id, before)
            given = _read_fees(body.get("credit"))
            owed = self.settled[statement_id] = _subtract(owed, given)
        elif name == "statement.service_credited":
            owed = _subtract((ZERO, ZERO, ZERO), _read_fees(body["credit"]))
        else:
            return
        cause = body.get("part_id") or statement_id
        accounts = grant["provider_account_id"], grant["startup_account_id"], _read_seller({}, grant)[2] or ""
        for account_id, amount in zip(accounts, _subtract(owed, before), strict=True):
            stated[account_id, cause] += amount  # type: ignore[assignment]
            stated[fee["account_id"], cause] -= amount  # type: ignore[assignment]

    def _check_shares(
        self, message: Message, grant: dict[str, Any], fee: dict[str, str], charges: dict[str, str]
    ) -> None:
        """Check that fees are shares of what each side receives or pays, each sum rounded to the cent."""
        own = grant.get("equity") is not None and grant["equity"].get("holder_account_id") is None
        received = charges["cash_usd" if own else "provider_usd"]
        stated = _read_fees(charges)
        added = charges.get("reseller_pays_usd", "0")
        of_seller = (added, fee["startup_share"])
        if not Decimal(added):
            of_seller = (charges.get("reseller_receives_usd", "0"), fee["provider_share"])
        for amount, base, share in (
            (stated[0], received, fee["provider_share"]),
            (stated[1], charges["cash_usd"], fee["startup_share"]),
            (stated[2], *of_seller),
        ):
            due = Decimal(base) * Decimal(share)
            text = f"a platform fee of {amount} USD is stated; {share} of {base} USD are {due}"
            self.findings.require(abs(amount - due) <= _ROUNDED, "fee", message.sequence, text)


def _read_seller(body: dict[str, Any], grant: dict[str, Any]) -> tuple[Decimal, Decimal, str | None]:
    """Return what the seller of resold capacity gets of a fee, what it adds, and its account; None without a seller."""
    gets, adds = (Decimal(body.get(f"reseller_{name}_usd", "0")) for name in ("receives", "pays"))
    return gets, adds, (grant.get("resale") or {}).get("seller_account_id")


def _read_returned(charges: dict[str, Any], grant: dict[str, Any]) -> tuple[Decimal, str | None]:
    """Return what the seller gives back for a credit, and its account: nothing to itself, as the holder of equity."""
    gets, _, seller_id = _read_seller(charges, grant)
    is_own = (grant.get("equity") or {}).get("holder_account_id") == seller_id
    return min(gets, Decimal(charges["cash_usd"])) if is_own else gets, seller_id


def _read_fees(amounts: dict[str, str] | None) -> _Fees:
    provider, startup, reseller = (
        Decimal((amounts or {}).get(f"{side}_fee_usd", "0")) for side in ("provider", "startup", "reseller")
    )
    return provider, startup, reseller


def _subtract(one: _Fees, other: _Fees) -> _Fees:
    return one[0] - other[0], one[1] - other[1], one[2] - other[2]
