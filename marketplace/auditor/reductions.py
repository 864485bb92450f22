"""Checks reductions after settlement: what a correction takes of principal, and of what it became."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, Literal

from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message

ZERO: Final = Decimal(0)
CENT: Final = Decimal("0.01")
REDUCED_WITHIN: Final = timedelta(days=180)
"""After its accrual, what a tranche became may be reduced for this long."""
UNASKED_WITHIN: Final = timedelta(days=30)
"""After its accrual, a credit reduces outstanding principal without its holder for this long."""
CREDIT: Final = "credit "
_OPENS: Final = frozenset({"issuer.financing_opened.v1", "issuer.liquidity_declared.v1"})
_ENDS: Final = frozenset(
    {"issuer.financing_closed.v1", "issuer.financing_abandoned.v1", "issuer.liquidity_withdrawn.v1"}
)
_TAKEN: Final = frozenset({"issuer.stock_repurchased.v1", "issuer.warrant_cancelled.v1"})
"""Events that take back what principal became, with the instrument as their cause."""


@dataclass(slots=True)
class Bought:
    """The shares or money that principal became in one conversion or repayment; shares are those of that time.

    Attributes:
        principal: Dollars of principal that became it.
        amount: Those dollars with interest.
        shares: The shares; None if it became money.
        price: Dollars for one share; 0 if it became money.
        split: The issuer's split factor then.
        dollars: Dollars of it that were reversed.
        due: Shares to return for them.
        taken: Dollars of shares that were cancelled for them, and of debts.
    """

    principal: Decimal
    amount: Fraction
    shares: int | None
    price: Fraction
    split: Fraction
    dollars: Fraction = Fraction(0)
    due: Fraction = Fraction(0)
    taken: Fraction = Fraction(0)


@dataclass(slots=True)
class Tranche:
    """One tranche: its outstanding dollars, the day of its accrual, and what the rest became.

    Attributes:
        period: The first statement of the period whose delivery accrued it; None for a payment.
        left: Its dollars less those that were reversed: outstanding, shares and money together.
    """

    outstanding: Decimal
    since: date
    period: str | None
    left: Decimal
    bought: Bought | None = None


@dataclass(frozen=True, slots=True)
class Payer:
    """The holder that pays a part of a grant from its account: the account, the instrument, and its issuer."""

    account_id: str
    instrument_id: str
    issuer_id: str


@dataclass(slots=True)
class Reductions:
    """Folds tranches and what they became, and checks every reversal before it is folded.

    Attributes:
        tranches: By instrument and tranche, oldest first.
        asked: Instruments whose holder accepts statements itself; a credit reduces them only as it agrees.
        splits: The split factor of each issuer.
        open: The number of open rounds and declared sales, by issuer.
        ended: Issuers that were sold.
        credits: Principal that each credit may still reverse.
        proposals: The parties that must agree as holders, and the instant of the proposal.
        payers: By grant, where the holder is not the provider and nothing is resold.
        periods: The first statement of the period of each adjustment.
    """

    findings: Findings
    tranches: dict[str, dict[str, Tranche]] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    splits: dict[str, Fraction] = field(default_factory=dict)
    open: dict[str, int] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    credits: dict[str, Decimal] = field(default_factory=dict)
    proposals: dict[str, tuple[set[str], datetime]] = field(default_factory=dict)
    payers: dict[str, Payer] = field(default_factory=dict)
    periods: dict[str, str] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command. An import is not checked, because it was decided elsewhere."""
        imports = any(message.event_type == "issuer.imported.v1" for message in decision)
        carried = [message for message in decision if message.event_type == "proposal.carried_out.v1"]
        asked, at = self.proposals.get(carried[0].read()["proposal_id"] if carried else "", (None, None))
        for message in sorted(decision, key=lambda each: each.event_type != "statement.credited.v1"):
            body = message.read()
            if message.event_type == "statement.credited.v1":
                self._check_paid_back(message, body, decision)
            if message.event_type != "instrument.principal_reversed.v1":
                self._fold(message.event_type, message, body)
                continue
            tranche = self.tranches.get(body["instrument_id"], {}).get(body["tranche_id"])
            if tranche is None:
                continue
            if not imports:
                decided_at = at or parse_instant(message.headers["ce-time"])
                problems = [
                    self._find_unagreed(message, body, tranche, asked, decided_at.date()),
                    self._find_late(body, tranche, decided_at.date()),
                    self._find_above_credit(body),
                ]
                for problem in filter(None, problems):
                    self.findings.add("reduction", message.sequence, f"{body['tranche_id']}: {problem}")
            self._reverse(message, body, tranche)
        if not imports:
            self._check_taken(decision)

    def _fold(self, event_type: str, message: Message, body: Mapping[str, Any]) -> None:
        match event_type:
            case "grant.issued.v1":
                self._fold_grant(body)
            case "statement.issued.v1" if body.get("adjustment"):
                self.periods[body["statement_id"]] = body["adjustment"]["statement_id"]
            case "proposal.made.v1":
                own = {consent["electorate"].removeprefix("holder/") for consent in body["consents"]}
                self.proposals[body["proposal_id"]] = own, parse_instant(message.headers["ce-time"])
            case "statement.credited.v1":
                given = (body.get("service_credit") or {}).get("principal_usd", "0")
                self.credits[body["statement_id"]] = Decimal(body["charges"]["principal_usd"]) - Decimal(given)
            case "instrument.principal_accrued.v1":
                since = date.fromisoformat(body["interest_from"])
                own_tranches = self.tranches.setdefault(body["instrument_id"], {})
                principal, period = Decimal(body["principal_usd"]), body["statement_id"]
                period = self.periods.get(period, period)
                own_tranches.setdefault(body["tranche_id"], Tranche(principal, since, period, principal))
            case "instrument.converted.v1":
                price = Fraction(body["price_usd_per_share"])
                self._buy(body, Fraction(body["amount_exact"]), body["shares"], price)
            case "instrument.repaid.v1":
                self._buy(body, Fraction(body["amount_usd"]), None, Fraction(0))
            case _ if event_type.startswith("issuer."):
                self._fold_issuer(event_type, body)
            case _:
                pass

    def _fold_grant(self, body: Mapping[str, Any]) -> None:
        equity = body.get("equity") or {}
        if equity.get("holder_accepts") and equity["holder_id"] != body["provider_id"]:
            self.asked.add(equity["instrument_id"])
        account_id, issuer_id = equity.get("holder_account_id"), f"iss_{body['startup_id'][4:]}"
        if account_id not in {None, body["provider_account_id"]} and body.get("resale") is None:
            self.payers[body["grant_id"]] = Payer(account_id, equity["instrument_id"], issuer_id)

    def _fold_issuer(self, event_type: str, body: Mapping[str, Any]) -> None:
        issuer_id = body["issuer_id"]
        match event_type:
            case "issuer.stock_split.v1":
                ratio = Fraction(body["numerator"], body["denominator"])
                self.splits[issuer_id] = self.splits.get(issuer_id, Fraction(1)) * ratio
            case "issuer.distribution_paid.v1":
                self.ended.add(issuer_id)
            case _ if event_type in _OPENS:
                self.open[issuer_id] = self.open.get(issuer_id, 0) + 1
            case _ if event_type in _ENDS:
                self.open[issuer_id] = self.open.get(issuer_id, 0) - 1
            case _:
                pass

    def _buy(self, body: Mapping[str, Any], amount: Fraction, shares: int | None, price: Fraction) -> None:
        """Let the oldest outstanding tranches become shares or money."""
        left = Decimal(body["principal_usd"])
        bought = Bought(left, amount, shares, price, self.splits.get(body["issuer_id"], Fraction(1)))
        for tranche in self.tranches.get(body["instrument_id"], {}).values():
            if left > ZERO and tranche.outstanding > ZERO:
                left -= tranche.outstanding
                tranche.outstanding, tranche.bought = ZERO, bought

    def _find_unagreed(
        self, message: Message, body: Mapping[str, Any], tranche: Tranche, asked: set[str] | None, day: date
    ) -> str | None:
        """Return what is wrong if the holder had to agree and did not; else None. Votes are checked elsewhere."""
        if asked is not None:
            return None if body["holder_id"] in asked else f"{body['holder_id']} was not asked"
        if message.headers.get("ce-actor", "").startswith("pty_"):
            return f"{message.headers['ce-actor']} reverses it alone"
        if not body["reason"].startswith(CREDIT):
            return None
        if tranche.bought is not None:
            return f"a credit takes what principal of {body['holder_id']} became, which did not agree"
        if body["instrument_id"] in self.asked:
            return f"a credit takes principal of {body['holder_id']}, which accepts statements itself"
        if self.open.get(body["issuer_id"], 0):
            return "a credit takes principal beside a round or a sale, without its holder"
        late = day > tranche.since + UNASKED_WITHIN
        return f"a credit takes principal of {tranche.since}, without its holder" if late else None

    def _find_late(self, body: Mapping[str, Any], tranche: Tranche, day: date) -> str | None:
        if body["issuer_id"] in self.ended:
            return f"{body['issuer_id']} was sold before"
        late = tranche.bought is not None and day > tranche.since + REDUCED_WITHIN
        return f"it became something else, and accrued on {tranche.since}" if late else None

    def _check_paid_back(self, message: Message, body: Mapping[str, Any], decision: Sequence[Message]) -> None:
        """Check that a holder is paid nothing back for principal that a credit may no longer reverse.

        It takes the youngest principal of the period first.
        """
        payer, given = self.payers.get(body["grant_id"]), body.get("service_credit") or {}
        names = ("principal_usd", "holder_usd")
        principal, held = (Decimal(body["charges"][name]) - Decimal(given.get(name, "0")) for name in names)
        if payer is None or principal <= ZERO:
            return
        day, period = parse_instant(message.headers["ce-time"]).date(), body["adjustment"]["statement_id"]
        left, kept = principal, ZERO
        for tranche in reversed(self.tranches.get(payer.instrument_id, {}).values()):
            part = min(left, tranche.left) if tranche.period == period else ZERO
            is_late = tranche.bought is not None and day > tranche.since + REDUCED_WITHIN
            left, kept = left - part, kept + (part if payer.issuer_id in self.ended or is_late else ZERO)
        bodies = [each.read() for each in decision if each.event_type == "account.credited.v1"]
        own = [
            each for each in bodies if (each["account_id"], each["cause"]) == (payer.account_id, body["statement_id"])
        ]
        paid = sum((Decimal(each["amount_usd"]) for each in own), ZERO)
        text = (
            f"{body['statement_id']} pays {paid} USD back to {payer.account_id}, which keeps {kept} of {principal} USD"
        )
        most = Fraction(held) * Fraction(principal - kept) / Fraction(principal) + Fraction(CENT)
        self.findings.require(paid <= most, "reduction", message.sequence, text)

    def _find_above_credit(self, body: Mapping[str, Any]) -> str | None:
        if not body["reason"].startswith(CREDIT):
            return None
        statement_id = body["reason"].removeprefix(CREDIT)
        left = self.credits.get(statement_id, ZERO) - Decimal(body["principal_usd"])
        self.credits[statement_id] = left
        return f"credit {statement_id} reverses {-left} USD more than it credits" if left < ZERO else None

    def _reverse(self, message: Message, body: Mapping[str, Any], tranche: Tranche) -> None:
        """Fold a reversal, and check that it takes no more than this principal had bought.

        What an earlier conversion left of a share may be several after a split.
        """
        principal, bought = Decimal(body["principal_usd"]), tranche.bought
        became: Literal["outstanding", "shares", "money"] = "outstanding"
        if bought is not None:
            became = "money" if bought.shares is None else "shares"
        tranche.left -= principal
        text = f"{body['tranche_id']} became {became}, not {body['became']}"
        self.findings.require(body["became"] == became, "reduction", message.sequence, text)
        if bought is None:
            tranche.outstanding -= principal
            return
        if bought.shares is None:
            bought.dollars += Fraction(principal) * bought.amount / Fraction(bought.principal)
        else:
            since, taken = self.splits.get(body["issuer_id"], Fraction(1)) / bought.split, body["taken"]
            bought.dollars += Fraction(taken["amount_exact"])
            bought.due += taken["shares_due"] / since
            bought.taken += taken["shares"] / since * bought.price
            text = f"{body['tranche_id']}: {bought.due} shares are to be returned, {bought.shares} were bought"
            self.findings.require(bought.due <= bought.shares, "reduction", message.sequence, text)
        bought.taken += Fraction(body["debt_exact"])
        known = (each.bought for each in self.tranches[body["instrument_id"]].values())
        carried = max(bought.split / each.split for each in known if each is not None) * bought.price
        within = bought.taken <= bought.dollars + carried and bought.dollars <= bought.amount
        text = f"{body['tranche_id']}: {bought.taken} USD are taken for {bought.dollars} of {bought.amount} reversed"
        self.findings.require(within, "reduction", message.sequence, text)

    def _check_taken(self, decision: Sequence[Message]) -> None:
        """Check that exactly the shares or rights that reversals take are cancelled, of their holders, for nothing."""
        bodies = [(message.event_type, message.read()) for message in decision]
        due = sorted(
            (body["instrument_id"], body["holder_id"], body["taken"]["shares"])
            for event_type, body in bodies
            if event_type == "instrument.principal_reversed.v1" and (body.get("taken") or {}).get("shares")
        )
        cancelled = sorted(
            (body["cause"], body["holder_id"], body["shares"])
            for event_type, body in bodies
            if event_type in _TAKEN and str(body.get("cause")).startswith("ins_")
        )
        text = f"{cancelled} are cancelled, {due} were to be returned"
        self.findings.require(due == cancelled, "reduction", decision[-1].sequence, text)
