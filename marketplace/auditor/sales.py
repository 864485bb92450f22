"""Checks the payment of a sale: it pays who holds the company now what was declared, and later principal beside it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.equity import Equity
from marketplace.auditor.stream import Findings, Message

ZERO: Final = Decimal(0)
_CENT: Final = Decimal("0.01")


@dataclass(slots=True)
class Sales:
    """Folds outstanding principal and declared sales, and checks what is paid.

    Attributes:
        equity: The holdings of every issuer, as the decision leaves them.
        outstanding: Outstanding dollars of principal by instrument.
        holders: Who holds an instrument.
        issuers: Whose instrument it is.
        declared: The waterfall of every sale.
    """

    findings: Findings
    equity: Equity
    outstanding: dict[str, Decimal] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    issuers: dict[str, str] = field(default_factory=dict)
    declared: dict[str, dict[str, Any]] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold the events of one command, after the cap tables, and check the payment of a sale in it."""
        before = dict(self.outstanding)
        imports = any(message.event_type == "issuer.imported.v1" for message in decision)
        for message in decision:
            aggregate, _, name = message.event_type.removesuffix(".v1").partition(".")
            if aggregate == "instrument":
                self._take_instrument(name, message.read())
            elif message.event_type == "issuer.liquidity_declared.v1":
                body = message.read()
                self.declared[body["liquidity_id"]] = body["waterfall"]
        for message in decision:
            if message.event_type == "issuer.distribution_paid.v1" and not imports:
                self._check(message, before, decision)

    def _take_instrument(self, name: str, body: dict[str, Any]) -> None:
        instrument_id = body["instrument_id"]
        if name == "issued":
            self.holders[instrument_id], self.issuers[instrument_id] = body["holder_id"], body["issuer_id"]
        change = Decimal(body.get("principal_usd", "0"))
        falls = name in {"converted", "repaid"} or (name == "principal_reversed" and body["became"] == "outstanding")
        if falls or name == "principal_accrued":
            known = self.outstanding.get(instrument_id, ZERO)
            self.outstanding[instrument_id] = known - change if falls else known + change

    def _check(self, message: Message, owed: dict[str, Decimal], decision: Sequence[Message]) -> None:
        """Check a payment, with the principal that was outstanding before it."""
        body = message.read()
        waterfall = self.declared[body["liquidity_id"]]
        rows = body["payouts"] if body.get("payouts") is not None else waterfall["payouts"]
        counted: dict[str, Decimal] = {}
        for run in waterfall["instruments"]:
            known = counted.get(run["instrument_id"], ZERO)
            counted[run["instrument_id"]] = known + Decimal(run["principal_usd"])
        own = {name: usd for name, usd in owed.items() if usd and self.issuers.get(name) == body["issuer_id"]}
        later = {name: usd - counted.get(name, ZERO) for name, usd in own.items() if usd > counted.get(name, ZERO)}
        stated = {each["instrument_id"]: Decimal(each["amount_usd"]) for each in body.get("later", ())}
        text = f"{stated} USD of principal are paid beside the proceeds, and {later} accrued since the declaration"
        self.findings.require(stated == later, "sale", message.sequence, text)
        self._check_stock(message, rows, waterfall)
        for name, usd in ((name, usd) for name, usd in counted.items() if usd):
            kept = min(Fraction(own.get(name, ZERO)) / Fraction(usd), Fraction(1))
            declared, paid = (_sum(each, name) for each in (waterfall["payouts"], rows))
            text = f"{paid} USD are paid for {name}; {float(kept):.4f} of its principal is left of {declared} USD"
            self.findings.require(paid == declared * kept, "sale", message.sequence, text)
        self._check_money(message, rows, decision)

    def _check_stock(self, message: Message, rows: Sequence[dict[str, Any]], waterfall: dict[str, Any]) -> None:
        """Check that every holder of stock is paid, as much for a share as was declared for one of its class."""
        body = message.read()
        issuer = self.equity.issuers[body["issuer_id"]]
        held = {row[1:]: shares for row, shares in issuer.holdings.items() if row[0] == "stock" and shares}
        paid = {(row["holder_id"], row["security"]): row for row in rows if row["security"] in issuer.authorised}
        shares = {key: row.get("shares") for key, row in paid.items()}
        text = f"{body['liquidity_id']} pays stock of {shares}, and {held} is held"
        self.findings.require(shares == held, "sale", message.sequence, text)
        common = Fraction(waterfall["price_per_common_share_exact"])
        stock = _list_stock(waterfall, issuer)
        prices = {row["security"]: Fraction(row["amount_exact"]) / row["shares"] for row in stock}
        for (holder_id, class_id), row in paid.items():
            due = prices.get(class_id, common) * row.get("shares", 0)
            text = f"{holder_id} is paid {row['amount_exact']} for {class_id}, and {due} are due"
            self.findings.require(Fraction(row["amount_exact"]) == due, "sale", message.sequence, text)

    def _check_money(self, message: Message, rows: Sequence[dict[str, Any]], decision: Sequence[Message]) -> None:
        """Check that each party gets the cash of its rows and its later principal, and all what is stated."""
        body = message.read()
        due: dict[str, Decimal] = {}
        for row in rows:
            due[row["holder_id"]] = due.get(row["holder_id"], ZERO) + Decimal(row["cash_usd"])
            text = f"{row['holder_id']} is paid {row['amount_usd']} USD of {row['amount_exact']}"
            near = abs(Fraction(row["amount_usd"]) - Fraction(row["amount_exact"])) < _CENT
            self.findings.require(near, "sale", message.sequence, text)
        for each in body.get("later", ()):
            due[each["holder_id"]] = due.get(each["holder_id"], ZERO) + Decimal(each["amount_usd"])
            text = f"{each['holder_id']} is paid for {each['instrument_id']} of another holder"
            holds = self.holders.get(each["instrument_id"]) == each["holder_id"]
            self.findings.require(holds, "sale", message.sequence, text)
        paid: dict[str, Decimal] = {}
        for other in decision:
            moved = other.read()
            if other.event_type == "account.debited.v1" and moved["cause"] == body["liquidity_id"]:
                payee = f"pty{moved['payee_account_id'][3:]}"
                paid[payee] = paid.get(payee, ZERO) + Decimal(moved["amount_usd"])
            elif other.event_type == "account.withdrawn.v1":
                sale, _, payee = moved["reference"].partition("/")
                is_own = (sale, moved["account_id"][4:]) == (body["liquidity_id"], body["issuer_id"][4:])
                text = f"{moved['account_id']} pays {moved['reference']} beside {body['liquidity_id']}"
                self.findings.require(is_own, "sale", other.sequence, text)
                paid[payee] = paid.get(payee, ZERO) + Decimal(moved["amount_usd"])
        due = {holder_id: usd for holder_id, usd in due.items() if usd}
        text = f"{body['liquidity_id']} pays {paid} USD, and {due} are due; it states {body['amount_usd']} in all"
        holds = paid == due and sum(due.values(), ZERO) == Decimal(body["amount_usd"])
        self.findings.require(holds, "sale", message.sequence, text)


def _list_stock(waterfall: dict[str, Any], issuer: Any) -> list[dict[str, Any]]:
    return [row for row in waterfall["payouts"] if row["security"] in issuer.authorised and row.get("shares")]


def _sum(rows: Sequence[dict[str, Any]], security: str) -> Fraction:
    return sum((Fraction(row["amount_exact"]) for row in rows if row["security"] == security), Fraction(0))
