"""The objects of a package as they come to be: what every act writes with."""

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
from marketplace.ocf.values import Name

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
    """The certificate that stands for an option or a warrant now, and the shares that are left of it."""

    security_id: str
    shares: int


@dataclass
class Writing:
    """The objects of a package as they come to be, act by act.

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
        names: Of financings, by id.
        closed: Days on which they were closed, by id.
        prices: What options and warrants are exercised for, by id.
        rights: The certificate that stands for each option and warrant now, and its shares.
        warrants: As they were issued, by id.
        paid: Dollars that bought what is left of a warrant, by id, where principal did.
        issued: Stock that the company issued, and the transactions that say so.
        resulting: How many securities came out of others.
        day: Day of the act at hand.
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
    paid: dict[str, Fraction] = field(default_factory=dict)
    issued: list[tuple[issuers.IssuerStockIssued, str]] = field(default_factory=list)
    resulting: int = 0
    day: date = date.min

    def number(self) -> dict[str, Any]:
        """Return the id and the day of the next transaction."""
        return {"id": f"tx-{len(self.transactions) + 1}", "date": self.day}

    def number_result(self) -> str:
        """Return the id of a security that comes out of another one."""
        self.resulting += 1
        return f"result-{self.resulting}"

    def require_stakeholder(self, holder_id: str) -> None:
        """Add a holder whom the company's own acts have not named yet."""
        if holder_id not in self.stakeholders:
            self.stakeholders[holder_id] = render_stakeholder(holder_id, holder_id, "investor")

    def issue_stock(self, holder_id: str, class_id: str, lot: Lot, approval: Approval | None = None) -> str:
        """Add an issuance of stock and its lot, and return the id of the transaction."""
        self.require_stakeholder(holder_id)
        self.lots.add(holder_id, class_id, lot)
        return self.write_issuance(holder_id, class_id, lot, approval)

    def write_issuance(self, holder_id: str, class_id: str, lot: Lot, approval: Approval | None = None) -> str:
        """Add an issuance of stock whose lot is known already, and return the id of the transaction."""
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
    """Return what an approval and an exact price say beyond the members of an object; UNSET for nothing."""
    comments = []
    if approval is not None:
        comments.append(f"Approved by {approval.document}" + (f": {approval.note}" if approval.note else ""))
    if isinstance(price, Fraction) and not is_exact(price):
        comments.append(f"The price is {price.numerator}/{price.denominator} dollars, rounded to ten places.")
    return tuple(comments) or UNSET


def render_stakeholder(holder_id: str, name: str, kind: str) -> ocf.Stakeholder:
    """Return a stakeholder of one of our kinds."""
    type_of, relationship = _RELATIONSHIPS[kind]
    known: dict[str, Any] = {"stakeholder_type": type_of, "current_relationship": relationship}
    return ocf.Stakeholder(id=holder_id, name=Name(legal_name=name), **known)
