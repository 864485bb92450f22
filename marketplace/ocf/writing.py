"""The objects of a package while they are written, act by act."""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from msgspec import UNSET

from events import issuer as issuers
from events.financing import Approval
from marketplace.ocf import objects as ocf
from marketplace.ocf import transactions as tx
from marketplace.ocf.lots import Lot, Lots
from marketplace.ocf.numbers import is_exact, render_money, render_number
from marketplace.ocf.values import Name, TerminationWindow

PLAN_ID: Final = "plan"
_RELATIONSHIPS: Final = {
    "founder": ("INDIVIDUAL", "FOUNDER"),
    "employee": ("INDIVIDUAL", "EMPLOYEE"),
    "investor": ("INSTITUTION", "INVESTOR"),
    "provider": ("INSTITUTION", "INVESTOR"),
    "other": ("INSTITUTION", "OTHER"),
}


@dataclass(slots=True)
class Right:
    """The present certificate of an option or a warrant, and its remaining shares."""

    security_id: str
    shares: int


@dataclass
class Writing:
    """The objects of a package while they are written.

    Attributes:
        issuer: The company, once formed.
        stakeholders: By id.
        classes: By id.
        plan: The pool, once there is one.
        valuations: In order.
        transactions: In order.
        authorised: Shares of each class that may be issued.
        shares_reserved: Size of the pool.
        lots: Certificates of stock.
        names: Names of financings, by id.
        closed: Days on which financings closed, by id.
        prices: Exercise prices of options and warrants, by id.
        rights: The present certificate of each option and warrant, and its shares.
        warrants: Warrants as issued, by id.
        holders: Present holders of warrants, by id.
        paid: Dollars of principal that bought the rest of a warrant, by id.
        vesting: Vesting terms of options and warrants, by their ids.
        windows: How long options may be exercised after service, by their ids.
        issued: Stock that the company issued, and its transactions.
        resulting: How many securities resulted from others so far.
        day: Day of the present act.
    """

    issuer: ocf.Issuer | None = None
    stakeholders: dict[str, ocf.Stakeholder] = field(default_factory=dict)
    classes: dict[str, ocf.StockClass] = field(default_factory=dict)
    authorised: dict[str, int] = field(default_factory=dict)
    plan: ocf.StockPlan | None = None
    shares_reserved: int = 0
    valuations: list[ocf.Valuation] = field(default_factory=list)
    transactions: list[tx.Transaction] = field(default_factory=list)
    lots: Lots = field(default_factory=Lots)
    names: dict[str, str] = field(default_factory=dict)
    closed: dict[str, date] = field(default_factory=dict)
    prices: dict[str, Fraction] = field(default_factory=dict)
    rights: dict[str, Right] = field(default_factory=dict)
    warrants: dict[str, issuers.IssuerWarrantIssued] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    paid: dict[str, Fraction] = field(default_factory=dict)
    vesting: dict[str, ocf.VestingTerms] = field(default_factory=dict)
    windows: dict[str, tuple[TerminationWindow, ...]] = field(default_factory=dict)
    issued: list[tuple[issuers.IssuerStockIssued, str]] = field(default_factory=list)
    resulting: int = 0
    day: date = date.min

    def number(self) -> dict[str, Any]:
        """Return the id and the day of the next transaction."""
        return {"id": f"tx-{len(self.transactions) + 1}", "date": self.day}

    def number_result(self) -> str:
        """Return the id of a security that results from another one."""
        self.resulting += 1
        return f"result-{self.resulting}"

    def require_stakeholder(self, holder_id: str) -> None:
        """Add a stakeholder unless the issuer's acts already did."""
        if holder_id not in self.stakeholders:
            self.stakeholders[holder_id] = render_stakeholder(holder_id, holder_id, "investor")

    def issue_stock(self, holder_id: str, class_id: str, lot: Lot, approval: Approval | None = None) -> str:
        """Add an issuance of stock and its lot, and return the id of the transaction."""
        self.require_stakeholder(holder_id)
        self.lots.add(holder_id, class_id, lot)
        return self.write_issuance(holder_id, class_id, lot, approval)

    def write_issuance(self, holder_id: str, class_id: str, lot: Lot, approval: Approval | None = None) -> str:
        """Add an issuance of stock whose lot exists already, and return the id of the transaction."""
        numbered = self.number()
        custom_id = f"{self.classes[class_id].default_id_prefix}{numbered['id'].removeprefix('tx-')}"
        self.transactions.append(
            tx.StockIssuance(
                **numbered,
                comments=render_comments(approval, lot.price_usd),
                security_id=lot.security_id,
                custom_id=custom_id,
                stakeholder_id=holder_id,
                security_law_exemptions=(),
                stock_class_id=class_id,
                share_price=render_money(lot.price_usd),
                quantity=render_number(lot.shares),
                stock_legend_ids=(),
            )
        )
        return str(numbered["id"])


def render_comments(approval: Approval | None, price: Decimal | Fraction = Decimal(0)) -> Any:
    """Return comments that state an approval and an exact price; UNSET if there are none."""
    comments = []
    if approval is not None:
        comments.append(f"Approved by {approval.document}" + (f": {approval.note}" if approval.note else ""))
    if isinstance(price, Fraction) and not is_exact(price):
        comments.append(f"The price is {price.numerator}/{price.denominator} dollars, rounded to ten places.")
    return tuple(comments) or UNSET


def render_stakeholder(holder_id: str, name: str, kind: str) -> ocf.Stakeholder:
    """Return a stakeholder from one of our kinds of stakeholder."""
    type_of, relationship = _RELATIONSHIPS[kind]
    known: dict[str, Any] = {"stakeholder_type": type_of, "current_relationship": relationship}
    return ocf.Stakeholder(id=holder_id, name=Name(legal_name=name), **known)
