"""Checks principal and shares: principal within commitments, no negative holding, no class above its authorisation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.stream import Findings, Message
from marketplace.auditor.warrants import Warrant, build_warrant

ZERO: Final = Decimal(0)
POOL: Final = ("pool", "", "pool")
Row = tuple[str, str, str]
"""Kind, holder and security of a holding; the security of stock is its class."""


@dataclass(slots=True)
class Instrument:
    """One instrument, from its events alone: dollars by tranche, and those accrued by statement."""

    commitment: Decimal
    drawdown: bool
    accrued: dict[str, Decimal] = field(default_factory=dict)
    reversed: dict[str, Decimal] = field(default_factory=dict)
    statements: dict[str, Decimal] = field(default_factory=dict)


SHARES_LEFT_MIN: Final = 300
"""A consolidation that leaves fewer asks everybody who holds something."""


@dataclass(slots=True)
class Issuer:
    """One issuer's capitalisation, from its events alone.

    Attributes:
        holdings: Shares by row.
        reserved: Shares of the plan.
        company_id: The party whose capitalisation it is.
        warrants: By id.
        is_consolidated: Whether several of its shares ever became one.
    """

    holdings: dict[Row, int] = field(default_factory=dict)
    authorised: dict[str, int] = field(default_factory=dict)
    reserved: int = 0
    company_id: str = ""
    warrants: dict[str, Warrant] = field(default_factory=dict)
    is_consolidated: bool = False

    def list_coarsened(self, split: Mapping[str, Any]) -> set[str]:
        """Return all who hold something, if a consolidation leaves too few shares of stock for what others convert."""
        ratio = Fraction(split["numerator"], split["denominator"])
        stock = sum(shares for (kind, _, _), shares in self.holdings.items() if kind == "stock")
        is_coarse = stock * ratio < SHARES_LEFT_MIN <= stock
        return {holder_id for (_, holder_id, _), shares in self.holdings.items() if shares and is_coarse}

    def move(self, kind: str, holder: str, security: str, shares: int) -> None:
        """Add shares to a row."""
        self.holdings[kind, holder, security] = self.holdings.get((kind, holder, security), 0) + shares


@dataclass(slots=True)
class Equity:
    """Folds and checks the events of instruments and issuers."""

    findings: Findings
    instruments: dict[str, Instrument] = field(default_factory=dict)
    issuers: dict[str, Issuer] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold the events of one command, and check the state after it."""
        accepted: dict[str, Decimal] = {}
        touched: dict[str, int] = {}
        imports = any(message.event_type == "issuer.imported.v1" for message in decision)
        for message in decision:
            aggregate, _, name = message.event_type.removesuffix(".v1").partition(".")
            body = message.read()
            if aggregate == "statement" and name in {"accepted", "credited", "part_settled"}:
                accepted[body["statement_id"]] = Decimal(body["charges"]["principal_usd"])
            elif aggregate == "instrument":
                self._take_instrument(message, name, body)
            elif aggregate == "issuer":
                self._take_warrant(message, name, body, imports=imports)
                self._take_issuer(name, body)
                touched[body["issuer_id"]] = message.sequence
        self._check_accrual(decision, accepted)
        for issuer_id, sequence in touched.items():
            self._check_issuer(issuer_id, sequence)

    def _take_instrument(self, message: Message, name: str, body: dict[str, Any]) -> None:
        instrument_id, sequence, require = body["instrument_id"], message.sequence, self.findings.require
        if name == "issued":
            require(instrument_id not in self.instruments, "instrument", sequence, f"{instrument_id} was issued before")
            commitment = Decimal(body["commitment_usd"])
            self.instruments[instrument_id] = Instrument(commitment, body["funding"] == "drawdown")
            return
        known = self.instruments.get(instrument_id)
        if known is None:
            self.findings.add("instrument", sequence, f"{instrument_id} was never issued")
            return
        if name == "commitment_reduced":
            known.commitment -= Decimal(body["amount_usd"])
        elif name == "principal_accrued":
            self._accrue(message, body, known)
        elif name == "principal_reversed":
            tranche, amount = body["tranche_id"], Decimal(body["principal_usd"])
            known.reversed[tranche] = known.reversed.get(tranche, ZERO) + amount
            born = known.accrued.get(tranche, ZERO)
            text = f"{known.reversed[tranche]} USD of tranche {tranche} are reversed, {born} accrued"
            require(known.reversed[tranche] <= born, "principal", sequence, text)

    def _accrue(self, message: Message, body: dict[str, Any], known: Instrument) -> None:
        require, sequence, tranche = self.findings.require, message.sequence, body["tranche_id"]
        require(tranche not in known.accrued, "principal", sequence, f"tranche {tranche} accrues a second time")
        known.accrued[tranche] = known.accrued.get(tranche, ZERO) + Decimal(body["principal_usd"])
        if body.get("statement_id") is not None:
            before = known.statements.get(body["statement_id"], ZERO)
            known.statements[body["statement_id"]] = before + Decimal(body["principal_usd"])
        principal = sum(known.accrued.values(), ZERO) - sum(known.reversed.values(), ZERO)
        text = f"{body['instrument_id']} has {principal} USD of principal, its commitment is {known.commitment}"
        require(principal <= known.commitment, "principal", sequence, text)

    def _check_accrual(self, decision: Sequence[Message], accepted: dict[str, Decimal]) -> None:
        """Check that a statement's principal accrues with its acceptance, and not above its charges.

        Imported principal is exempt: it accrued elsewhere, under statements that are not in this log.
        """
        if any(message.event_type == "issuer.imported.v1" for message in decision):
            return
        for message in decision:
            if message.event_type != "instrument.principal_accrued.v1":
                continue
            body = message.read()
            statement_id = body.get("statement_id")
            if statement_id is None:
                continue
            most, known = accepted.get(statement_id), self.instruments.get(body["instrument_id"])
            total = ZERO if known is None else known.statements.get(statement_id, ZERO)
            text = f"{total} USD accrue in all of statement {statement_id}, which accepts {most}"
            holds = most is not None and total <= most
            self.findings.require(holds, "principal", message.sequence, text)

    def _take_warrant(self, message: Message, name: str, body: dict[str, Any], *, imports: bool) -> None:
        """Fold what has vested of warrants, and check exercises and attestations against it."""
        issuer = self.issuers.setdefault(body["issuer_id"], Issuer())
        if name == "formed":
            issuer.company_id = body["party_id"]
        elif name == "warrant_issued":
            issuer.warrants[body["warrant_id"]] = build_warrant(body)
        elif name == "stock_split":
            ratio = Fraction(body["numerator"], body["denominator"])
            for warrant in issuer.warrants.values():
                warrant.split(ratio)
        elif body.get("warrant_id") in issuer.warrants:
            problem = issuer.warrants[body["warrant_id"]].take(name, body, issuer.company_id)
            self.findings.require(
                problem is None or imports, "vesting", message.sequence, f"{body['warrant_id']}: {problem}"
            )

    def _check_issuer(self, issuer_id: str, sequence: int) -> None:
        issuer = self.issuers[issuer_id]
        for row, shares in issuer.holdings.items():
            self.findings.require(shares >= 0, "shares", sequence, f"{issuer_id}: {shares} shares of {row}")
        for class_id, most in issuer.authorised.items():
            issued = sum(
                shares for (kind, _, name), shares in issuer.holdings.items() if kind == "stock" and name == class_id
            )
            text = f"{issuer_id}: {issued} shares of {class_id} are issued, {most} authorised"
            self.findings.require(issued <= most, "shares", sequence, text)

    def _take_issuer(self, name: str, body: dict[str, Any]) -> None:
        issuer = self.issuers.setdefault(body["issuer_id"], Issuer())
        shares: int = body.get("shares", 0)
        holder: str = body.get("holder_id") or ""
        match name:
            case "stock_class_created" | "authorised_shares_adjusted":
                issuer.authorised[body["class_id"]] = body["shares_authorised"]
            case "stock_plan_adjusted":
                issuer.move(*POOL, body["shares_reserved"] - issuer.reserved)
                issuer.reserved = body["shares_reserved"]
            case "stock_issued":
                issuer.move("stock", holder, body["class_id"], shares)
            case "stock_repurchased":
                issuer.move("stock", holder, body["class_id"], -shares)
            case "stock_transferred":
                issuer.move("stock", holder, body["class_id"], -shares)
                issuer.move("stock", body["holder_id_after"], body["class_id"], shares)
            case "stock_converted":
                issuer.move("stock", holder, body["class_id"], -shares)
                issuer.move("stock", holder, body["class_id_after"], body["shares_after"])
            case "stock_split":
                _split(issuer, body)
                issuer.is_consolidated |= body["numerator"] < body["denominator"]
            case _:
                _take_right(issuer, name, body, holder, shares)


def _take_right(issuer: Issuer, name: str, body: dict[str, Any], holder: str, shares: int) -> None:
    match name:
        case "option_promised":
            issuer.move(*POOL, -shares)
            issuer.move("promised", holder, body["promise_id"], shares)
        case "option_promise_withdrawn":
            _return_promise(issuer, body["promise_id"])
        case "option_granted":
            if body.get("promise_id") is not None:
                _return_promise(issuer, body["promise_id"])
            issuer.move(*POOL, -shares)
            issuer.move("option", holder, body["option_id"], shares)
        case "option_exercised":
            issuer.move("option", holder, body["option_id"], -shares)
            issuer.move("stock", holder, body["class_id"], shares)
        case "option_transferred":
            issuer.move("option", holder, body["option_id"], -shares)
            issuer.move("option", body["holder_id_after"], body["option_id"], shares)
        case "option_cancelled":
            issuer.move("option", holder, body["option_id"], -shares)
            issuer.move(*POOL, shares)
        case _:
            _take_warrant_row(issuer, name, body, holder, shares)


def _take_warrant_row(issuer: Issuer, name: str, body: dict[str, Any], holder: str, shares: int) -> None:
    match name:
        case "warrant_issued":
            issuer.move("warrant", holder, body["warrant_id"], shares)
        case "warrant_exercised":
            issuer.move("warrant", holder, body["warrant_id"], -shares - body.get("shares_surrendered", 0))
            issuer.move("stock", holder, body["class_id"], shares)
        case "warrant_transferred":
            issuer.move("warrant", holder, body["warrant_id"], -shares)
            issuer.move("warrant", body["holder_id_after"], body["warrant_id"], shares)
        case "warrant_expired" | "warrant_cancelled":
            issuer.move("warrant", holder, body["warrant_id"], -shares)


def _return_promise(issuer: Issuer, promise_id: str) -> None:
    for row, shares in list(issuer.holdings.items()):
        if row[0] == "promised" and row[2] == promise_id:
            issuer.holdings[row] = 0
            issuer.move(*POOL, shares)


def _split(issuer: Issuer, body: dict[str, Any]) -> None:
    """Multiply every row. If the event settles fractions, stock is already whole and other rows are rounded down."""
    ratio = Fraction(body["numerator"], body["denominator"])
    issuer.reserved = int(issuer.reserved * ratio)
    issuer.authorised = {class_id: int(shares * ratio) for class_id, shares in issuer.authorised.items()}
    issuer.holdings = {row: int(shares * ratio) for row, shares in issuer.holdings.items()}
    if body.get("pool_shares_available") is not None:
        issuer.holdings[POOL] = body["pool_shares_available"]
