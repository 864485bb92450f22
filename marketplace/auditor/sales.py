"""Checks the payment of a sale: it pays who holds the company now what was declared, and later principal beside it.

Options and warrants are declared the price of a common share above their exercise price, for no more rights than are
held, and no more of an option than has vested by the last day on which the sale may be paid. They are paid as declared,
without what was exercised since and what a reduction took back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.equity import Equity
from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message
from marketplace.auditor.vesting import Option, fold_option

ZERO: Final = Decimal(0)
_CENT: Final = Decimal("0.01")


@dataclass(slots=True)
class Right:
    """An option or a warrant: who holds it, the USD at which it buys a share after all splits, and how many were used.

    What a warrant that is clawed back still buys may fall at any time.

    Attributes:
        option: How an option vests; None for a warrant.
    """

    issuer_id: str
    holder_id: str
    prices: set[Fraction]
    claws_back: bool = False
    used: int = 0
    option: Option | None = None

    def count_vested(self, held: int, at: date, until: date) -> int:
        """Return the held shares that may be bought by the last day of a sale that is declared at `at`."""
        return held if self.option is None else self.option.count_vested(held, at, until)


@dataclass(slots=True)
class Sales:
    """Folds outstanding principal and declared sales, and checks what is paid.

    Attributes:
        equity: The holdings of every issuer, as the decision leaves them.
        outstanding: Outstanding dollars of principal by instrument.
        holders: Who holds an instrument.
        issuers: Whose instrument it is.
        declared: The waterfall of every sale.
        rights: Options and warrants by id.
        options: Options by id.
    """

    findings: Findings
    equity: Equity
    outstanding: dict[str, Decimal] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    issuers: dict[str, str] = field(default_factory=dict)
    declared: dict[str, dict[str, Any]] = field(default_factory=dict)
    rights: dict[str, Right] = field(default_factory=dict)
    options: dict[str, Option] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold the events of one command, after the cap tables, and check the payment of a sale in it."""
        before = dict(self.outstanding)
        imports = any(message.event_type == "issuer.imported.v1" for message in decision)
        for message in decision:
            aggregate, _, name = message.event_type.removesuffix(".v1").partition(".")
            if aggregate == "instrument":
                self._take_instrument(name, message.read())
            elif aggregate == "issuer":
                self._take_right(name, message.read())
        for message in decision:
            if message.event_type == "issuer.liquidity_declared.v1":
                body = message.read()
                self.declared[body["liquidity_id"]] = body["waterfall"]
                if not imports:
                    self._check_declared(message, body)
        for message in decision:
            if message.event_type == "issuer.distribution_paid.v1" and not imports:
                self._check(message, before, decision)

    def _take_instrument(self, name: str, body: dict[str, Any]) -> None:
        instrument_id = body["instrument_id"]
        if name == "issued":
            self.holders[instrument_id], self.issuers[instrument_id] = body["holder_id"], body["issuer_id"]
        elif name == "transferred":
            self.holders[instrument_id] = body["holder_id_after"]
        change = Decimal(body.get("principal_usd", "0"))
        falls = name in {"converted", "repaid"} or (name == "principal_reversed" and body["became"] == "outstanding")
        if falls or name == "principal_accrued":
            known = self.outstanding.get(instrument_id, ZERO)
            self.outstanding[instrument_id] = known - change if falls else known + change

    def _take_right(self, name: str, body: dict[str, Any]) -> None:
        """Fold an event of options and warrants."""
        fold_option(self.options, name, body)
        right = self.rights.get(body.get("warrant_id") or body.get("option_id") or "")
        match name:
            case "option_granted":
                option, price = self.options[body["option_id"]], {Fraction(body["exercise_price_usd"])}
                self.rights[body["option_id"]] = Right(option.issuer_id, option.holder_id, price, option=option)
            case "warrant_issued":
                stated = (each.get("exercise_price_usd") for each in body.get("tranches") or ())
                prices = {Fraction(each) for each in (body["exercise_price_usd"], *stated) if each is not None}
                claws_back = body.get("on_reduction") == "claw_back"
                right = Right(body["issuer_id"], body["holder_id"], prices, claws_back)
                self.rights[body["warrant_id"]] = right
            case "warrant_priced" if right is not None:
                right.prices.add(Fraction(body["exercise_price_usd"]))
            case "option_transferred":
                self.rights[body["option_id"]].holder_id = body["holder_id_after"]
            case "warrant_transferred" if right is not None:
                right.holder_id = body["holder_id_after"]
            case "warrant_exercised" | "option_exercised" if right is not None:
                right.used += body["shares"] + body.get("shares_surrendered", 0)
            case "stock_split":
                ratio = Fraction(body["numerator"], body["denominator"])
                for each in self.rights.values():
                    if each.issuer_id == body["issuer_id"]:
                        each.prices = {price / ratio for price in each.prices}
                        each.used = 0
            case _:
                pass

    def _check_declared(self, message: Message, sale: dict[str, Any]) -> None:
        """Check what a sale declares for rights: the gain of a share at one of their prices, for what is held."""
        common = Fraction(sale["waterfall"]["price_per_common_share_exact"])
        held: dict[str, int] = {}
        for (kind, _, security), shares in self.equity.issuers[sale["issuer_id"]].holdings.items():
            held[security] = held.get(security, 0) + (shares if kind in {"option", "warrant"} else 0)
        for (holder_id, security), rows in _list_rights(sale["waterfall"]["payouts"], self.rights).items():
            right, counted = self.rights[security], _count(rows)
            days = parse_instant(message.headers["ce-time"]).date(), parse_instant(sale["pay_until"]).date()
            vested = right.count_vested(held.get(security, 0), *days)
            right.used = 0
            text = f"{sale['liquidity_id']} counts {counted} shares under {security} of {holder_id}"
            holds = holder_id == right.holder_id and 0 < counted <= vested
            has = f"{text}, and {right.holder_id} has {vested} that vest in time"
            self.findings.require(holds, "sale", message.sequence, has)
            gains = {max(common - price, Fraction(0)) for price in right.prices}
            wrong = _list_prices(rows) - gains
            self.findings.require(not wrong, "sale", message.sequence, f"{text}, a share at {wrong}, not {gains}")

    def _check_rights(
        self, message: Message, rows: Sequence[dict[str, Any]], declared: Sequence[dict[str, Any]]
    ) -> None:
        """Check that rights are paid as declared, without those that were used since."""
        paid, counted = _list_rights(rows, self.rights), _list_rights(declared, self.rights)
        for key in sorted({*paid, *counted}):
            right, before, now = self.rights[key[1]], counted.get(key, []), paid.get(key, [])
            most, shares = _count(before) - right.used, _count(now)
            text = f"{key[0]} is paid for {shares} shares under {key[1]}, and {most} were declared and not bought"
            holds = shares == most or (right.claws_back and shares <= most)
            self.findings.require(holds, "sale", message.sequence, text)
            wrong = _list_prices(now) - _list_prices(before)
            text = f"{key[0]} is paid {wrong} for a share under {key[1]}, which was not declared"
            self.findings.require(not wrong, "sale", message.sequence, text)

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
        self._check_rights(message, rows, waterfall["payouts"])
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


def _list_rights(
    rows: Sequence[dict[str, Any]], rights: Mapping[str, Right]
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Return the rows of options and warrants by holder and right; one with several prices has several rows."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["security"] in rights:
            found.setdefault((row["holder_id"], row["security"]), []).append(row)
    return found


def _count(rows: Sequence[dict[str, Any]]) -> int:
    return sum(row.get("shares") or 0 for row in rows)


def _list_prices(rows: Sequence[dict[str, Any]]) -> set[Fraction]:
    """Return the dollars of a share in rows that are paid for shares."""
    return {Fraction(row["amount_exact"]) / row["shares"] for row in rows if row.get("shares")}


def _list_stock(waterfall: dict[str, Any], issuer: Any) -> list[dict[str, Any]]:
    return [row for row in waterfall["payouts"] if row["security"] in issuer.authorised and row.get("shares")]


def _sum(rows: Sequence[dict[str, Any]], security: str) -> Fraction:
    return sum((Fraction(row["amount_exact"]) for row in rows if row["security"] == security), Fraction(0))
