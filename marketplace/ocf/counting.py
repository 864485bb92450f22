"""Compares issued shares with those authorised and reserved, after splits; see `checking`."""

from collections.abc import Iterator, Mapping
from fractions import Fraction

from msgspec import UNSET

from marketplace.ocf import objects as ocf
from marketplace.ocf import transactions as tx
from marketplace.ocf.numbers import is_number
from marketplace.ocf.parsing import Package
from marketplace.ocf.securities import Security, build_security, order_transactions, show

Securities = Mapping[str, Security]


class Splits:
    """Which securities a split multiplies: those of its class that were issued before it."""

    def __init__(self, package: Package) -> None:
        self._place = {located.item.id: place for place, located in enumerate(package.items)}
        self._plans = {located.item.id: located.item for located in package.items}
        transactions = [item for _, item in order_transactions(package)]
        self.splits = [item for item in transactions if isinstance(item, tx.StockClassSplit)]

    def touches(self, split: tx.StockClassSplit, security: Security) -> bool:
        """Return whether a split multiplies a security."""
        return self.find_class(security) == split.stock_class_id and self._is_before(security.issuance, split)

    def _is_before(self, item: tx.Transaction, split: tx.StockClassSplit) -> bool:
        """Return whether a transaction was before a split; within one day, the order in the file decides."""
        if item.date != split.date:
            return item.date < split.date
        return self._place[item.id] < self._place[split.id]

    def scale(self, security: Security) -> Fraction:
        """Return the shares that a security was issued for, after later splits."""
        shares = build_security(security.issued).left or Fraction(0)
        return shares * self.find_ratio_since(security.issuance, self.find_class(security))

    def find_ratio_since(self, item: tx.Transaction, class_id: str | None) -> Fraction:
        """Return the factor by which splits of a class after a transaction multiplied its shares."""
        ratio = Fraction(1)
        for split in self.splits:
            if split.stock_class_id == class_id and self._is_before(item, split) and _is_positive(split):
                ratio *= Fraction(split.split_ratio.numerator) / Fraction(split.split_ratio.denominator)
        return ratio

    def find_class(self, security: Security) -> str | None:
        """Return the class of stock that a security is of, or converts into; None if it has none."""
        issuance = security.issuance
        if isinstance(issuance, tx.WarrantIssuance):
            found = [trigger.conversion_right.converts_to_stock_class_id for trigger in issuance.exercise_triggers]
            return next((name for name in found if name is not UNSET), None)
        named = getattr(issuance, "stock_class_id", UNSET)
        if named is not UNSET:
            return str(named)
        plan = self._plans.get(getattr(issuance, "stock_plan_id", ""))
        if not isinstance(plan, ocf.StockPlan):
            return None
        if plan.stock_class_id is not UNSET:
            return plan.stock_class_id
        return None if plan.stock_class_ids is UNSET else next(iter(plan.stock_class_ids), None)


def _is_positive(split: tx.StockClassSplit) -> bool:
    return Fraction(split.split_ratio.denominator) > 0


def list_overdrawn(package: Package, securities: Securities, splits: Splits) -> Iterator[tuple[str, str, str]]:
    """Yield every class and plan that ends with more shares than it may have: item, code and reason."""
    outstanding = _sum_outstanding(securities)
    for class_id, most in sorted(_list_authorised(package).items()):
        shares = outstanding.get(class_id, Fraction(0))
        if most is not None and shares > most:
            reason = f"class {class_id} has {show(shares)} shares outstanding and {show(most)} authorised"
            yield f"STOCK_CLASS {class_id}", "class_over_issued", reason
    granted = _sum_granted(package, securities, splits)
    for plan_id, most in sorted(_list_reserved(package).items()):
        shares = granted.get(plan_id, Fraction(0))
        if shares > most:
            reason = f"plan {plan_id} has {show(shares)} shares granted and {show(most)} reserved"
            yield f"STOCK_PLAN {plan_id}", "plan_overdrawn", reason


def _sum_outstanding(securities: Securities) -> dict[str, Fraction]:
    sums: dict[str, Fraction] = {}
    for security in securities.values():
        issuance = security.issuance
        if isinstance(issuance, tx.StockIssuance) and security.ended_by is None and security.left is not None:
            sums[issuance.stock_class_id] = sums.get(issuance.stock_class_id, Fraction(0)) + security.left
    return sums


def _list_authorised(package: Package) -> dict[str, Fraction | None]:
    authorised: dict[str, Fraction | None] = {}
    for located in package.items:
        if isinstance(located.item, ocf.StockClass):
            text = located.item.initial_shares_authorized
            authorised[located.item.id] = Fraction(text) if is_number(text) else None
    for _, item in order_transactions(package):
        if isinstance(item, tx.ClassAuthorized):
            authorised[item.stock_class_id] = Fraction(item.new_shares_authorized)
    return authorised


def _list_reserved(package: Package) -> dict[str, Fraction]:
    reserved = {
        located.item.id: Fraction(located.item.initial_shares_reserved)
        for located in package.items
        if isinstance(located.item, ocf.StockPlan)
    }
    for _, item in order_transactions(package):
        if isinstance(item, tx.PlanAdjustment):
            reserved[item.stock_plan_id] = Fraction(item.shares_reserved)
    return reserved


def _sum_granted(package: Package, securities: Securities, splits: Splits) -> dict[str, Fraction]:
    """Return the shares granted under each plan less those returned to it, after all splits."""
    sums: dict[str, Fraction] = {}
    for security in securities.values():
        plan_id = getattr(security.issuance, "stock_plan_id", UNSET)
        retracted = security.ended_by is not None and "_RETRACTION " in security.ended_by
        if plan_id is not UNSET and not retracted and not security.made:
            sums[plan_id] = sums.get(plan_id, Fraction(0)) + splits.scale(security)
    for _, item in order_transactions(package):
        if isinstance(item, tx.ReturnToPool):
            returned = securities.get(item.security_id)
            class_id = None if returned is None else splits.find_class(returned)
            back = Fraction(item.quantity) * splits.find_ratio_since(item, class_id)
            sums[item.stock_plan_id] = sums.get(item.stock_plan_id, Fraction(0)) - back
    return sums
