"""The life cycle of a package's securities; see `checking`.

Transactions are taken by day, and within one day in the order of the files. Every issuance is known from the start,
since the transaction that makes a security may stand before or after its issuance.
"""

from collections import Counter
from fractions import Fraction

from marketplace.ocf import transactions as tx
from marketplace.ocf.counting import Splits, list_overdrawn
from marketplace.ocf.findings import Findings
from marketplace.ocf.parsing import Located, Package
from marketplace.ocf.securities import (
    Security,
    build_security,
    ends_security,
    find_amount,
    find_balance,
    list_results,
    order_transactions,
    show,
)


class LifeCycle:
    """Walks through a package's transactions and reports those that cannot have happened.

    Args:
        package: The parsed package.
        findings: Where problems are added.
    """

    def __init__(self, package: Package, findings: Findings) -> None:
        self._package = package
        self._findings = findings
        self._securities: dict[str, Security] = {}
        self._made: Counter[str] = Counter()
        self._splits = Splits(package)

    def check(self) -> None:
        """Add every problem."""
        for located, item in order_transactions(self._package):
            if isinstance(item, tx.Issuance):
                self._issue(located, item)
        for located, item in order_transactions(self._package):
            self._follow(located, item)
        for what, code, reason in list_overdrawn(self._package, self._securities, self._splits):
            self._findings.add("problem", "", what, code, reason)

    def _complain(self, located: Located, code: str, reason: str) -> None:
        self._findings.add("problem", located.file, located.label, code, reason)

    def _issue(self, located: Located, item: tx.Issuance) -> None:
        if item.security_id in self._securities:
            self._complain(located, "security_issued_twice", f"security {item.security_id} is issued already")
            return
        security = build_security(located)
        self._securities[item.security_id] = security
        if security.left is not None and security.left <= 0:
            self._complain(located, "quantity_not_positive", f"security {item.security_id} has {security.left} units")

    def _follow(self, located: Located, item: tx.Transaction) -> None:
        if isinstance(item, tx.StockClassSplit):
            self._split(located, item)
        if not isinstance(item, tx.OfSecurity) or isinstance(item, tx.Issuance):
            return
        security = self._securities.get(item.security_id)
        if security is None:
            reason = f"security_id names {item.security_id!r}, which is never issued"
            self._complain(located, "reference_dangling", reason)
            return
        if not self._check_fits(located, item, security):
            return
        if isinstance(item, tx.ReturnToPool):
            return
        self._check_results(located, item, security)
        self._take(located, item, security)

    def _check_fits(self, located: Located, item: tx.OfSecurity, security: Security) -> bool:
        tag = str(item.__struct_config__.tag)
        if f"TX_{security.kind}_" not in tag and not tag.startswith(("TX_VESTING_", "TX_STOCK_PLAN_")):
            reason = f"security {item.security_id} is {security.kind.lower()}; {tag} is for another kind"
            self._complain(located, "reference_mistyped", reason)
            return False
        if item.date < security.day:
            reason = f"{item.date} is before {security.day}, when security {item.security_id} was issued"
            self._complain(located, "date_before_issuance", reason)
        if security.ended_by is not None and not isinstance(item, tx.ReturnToPool):
            reason = f"security {item.security_id} was already ended by {security.ended_by}"
            self._complain(located, "security_over", reason)
            return False
        return True

    def _check_results(self, located: Located, item: tx.OfSecurity, security: Security) -> None:
        balance = find_balance(item)
        for name in (*list_results(item), *(() if balance is None else (balance,))):
            made = self._securities.get(name)
            if made is None:
                self._complain(located, "reference_dangling", f"it makes security {name!r}, which is never issued")
            elif made.day != item.date:
                reason = f"it makes security {name!r} on {item.date}, which is issued on {made.day}"
                self._complain(located, "date_differs", reason)
            elif (wrong := _find_difference(item, security, made, is_balance=name == balance)) is not None:
                self._complain(located, *wrong)
            self._made[name] += 1
            if made is not None:
                made.made = True
            joined = isinstance(item, tx.StockReissuance | tx.ConvertibleConversion | tx.StockConversion)
            if self._made[name] > 1 and not joined:
                self._complain(located, "security_made_twice", f"security {name!r} comes out of another one already")

    def _take(self, located: Located, item: tx.OfSecurity, security: Security) -> None:
        amount, left = find_amount(item), security.left
        if isinstance(item, tx.WarrantExercise):
            amount = self._sum(item)
        if amount is not None and amount <= 0:
            self._complain(located, "quantity_not_positive", f"it takes {amount} of security {item.security_id}")
        elif amount is not None and left is not None and amount > left:
            reason = f"it takes {show(amount)} of security {item.security_id}, which has {show(left)} left"
            self._complain(located, "quantity_exceeded", reason)
        elif amount is not None and left is not None:
            self._check_moved(located, item, amount)
            self._check_balance(located, item, left - amount)
            security.left = left - amount
        if ends_security(item) or security.left == 0:
            security.ended_by = located.label

    def _sum(self, item: tx.OfSecurity) -> Fraction:
        made = [self._securities[name].left for name in list_results(item) if name in self._securities]
        return sum((left for left in made if left is not None), Fraction(0))

    def _check_moved(self, located: Located, item: tx.OfSecurity, amount: Fraction) -> None:
        if isinstance(item, tx.Transfer | tx.CompensationExercise) and all(
            name in self._securities for name in list_results(item)
        ):
            issued = [self._issued_amount(name) for name in list_results(item)]
            if sum(issued, Fraction(0)) != amount:
                reason = f"it moves {show(amount)}, and what it makes has {show(sum(issued, Fraction(0)))}"
                self._complain(located, "quantity_differs", reason)

    def _issued_amount(self, security_id: str) -> Fraction:
        return build_security(self._securities[security_id].issued).left or Fraction(0)

    def _check_balance(self, located: Located, item: tx.OfSecurity, rest: Fraction) -> None:
        balance = find_balance(item)
        if not ends_security(item) or isinstance(item, tx.Retraction):
            return
        if balance is None:
            if rest:
                reason = f"{show(rest)} of security {item.security_id} are left, and no balance_security_id has them"
                self._complain(located, "balance_missing", reason)
            return
        replaced = isinstance(item, tx.ConvertibleCancellation) and rest == 0
        if balance in self._securities and not replaced and self._issued_amount(balance) != rest:
            issued = show(self._issued_amount(balance))
            reason = f"{show(rest)} of {item.security_id} are left, and balance {balance!r} has {issued}"
            self._complain(located, "balance_differs", reason)

    def _split(self, located: Located, item: tx.StockClassSplit) -> None:
        denominator = Fraction(item.split_ratio.denominator)
        if denominator <= 0 or Fraction(item.split_ratio.numerator) <= 0:
            self._complain(located, "quantity_not_positive", "a split multiplies by a positive ratio")
            return
        for security in self._securities.values():
            if security.ended_by is None and security.left is not None and self._splits.touches(item, security):
                security.left *= Fraction(item.split_ratio.numerator) / denominator


def _find_difference(
    item: tx.Transaction, security: Security, made: Security, *, is_balance: bool
) -> tuple[str, str] | None:
    """Return code and reason if a security that a transaction makes has an impossible kind, class or holder."""
    kind = security.kind if is_balance or isinstance(item, tx.Transfer) else "STOCK"
    before, after = security.issuance, made.issuance
    name = after.security_id
    stays = is_balance or isinstance(item, tx.Transfer)
    if made.kind != kind and not isinstance(item, tx.ConvertibleConversion):
        return "reference_mistyped", f"it makes security {name!r}, which is {made.kind.lower()} and not {kind.lower()}"
    if stays and isinstance(after, tx.StockIssuance) and isinstance(before, tx.StockIssuance):
        classes = (after.stock_class_id, before.stock_class_id)
        if classes[0] != classes[1]:
            return "class_differs", f"it makes security {name!r} of class {classes[0]} from one of class {classes[1]}"
    if is_balance and after.stakeholder_id != before.stakeholder_id:
        return "holder_differs", f"balance {name!r} is held by {after.stakeholder_id}, not by {before.stakeholder_id}"
    return None
