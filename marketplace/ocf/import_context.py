"""What the translation of a package looks up: ids, numbers, and which securities result from others."""

import re
from collections import Counter
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from msgspec import UNSET, UnsetType

from events import issuer as issuers
from marketplace.core.ids import derive_id, is_id
from marketplace.domain.equity.issuer.rules import CLASS_IDS_RESERVED
from marketplace.ocf import objects as ocf
from marketplace.ocf import transactions as tx
from marketplace.ocf.findings import Findings
from marketplace.ocf.intake import ImportedAct
from marketplace.ocf.numbers import USD, find_whole, is_number
from marketplace.ocf.parsing import Located, Package
from marketplace.ocf.securities import find_balance, list_results, order_transactions
from marketplace.ocf.values import Monetary

_CLASS_ID_SIZE_MAX: Final = 32
_CLASS_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_HOLDERS: Final = ("pty", "stk")


class ImportContext:
    """Collects acts, and looks up ids and numbers of the package.

    Args:
        package: The parsed package.
        findings: Where problems and losses are added.
        issuer_id: The new issuer.
        cause: The command's id, from which new ids derive.
    """

    def __init__(self, package: Package, findings: Findings, *, issuer_id: str, cause: str) -> None:
        self.package = package
        self.issuer_id = issuer_id
        self.formed_on = package.manifest.issuer.formation_date
        self.acts: list[ImportedAct] = []
        self.instruments: dict[str, tuple[ImportedAct, ...]] = {}
        self.origins: dict[str, str] = {}
        self.classes: dict[str, str] = {}
        self._findings = findings
        self._cause = cause
        self._reserved: dict[str, int] = {}
        transactions = [item for _, item in order_transactions(package)]
        self.transactions = transactions
        self._issuances = {item.security_id: item for item in transactions if isinstance(item, tx.Issuance)}
        self._implied = _list_implied(transactions)
        self._before = _list_balances(transactions)
        self._authorised: dict[str, int] = {}
        self.created: list[str] = []

    def report_problem(self, located: Located, code: str, reason: str) -> None:
        """Report a problem."""
        self._findings.add("problem", located.file, located.label, code, reason)

    def report_loss(self, located: Located, code: str, reason: str) -> None:
        """Report a loss."""
        self._findings.add("loss", located.file, located.label, code, reason)

    def add(self, located: Located, day: date, event: Any) -> None:
        """Keep an act of a day."""
        self.acts.append(ImportedAct(event, at_midnight(day), located.file, located.label))

    def name(self, prefix: str, theirs: str) -> str:
        """Return a new id of this market for the package's id `theirs`, and keep the pair in `origins`."""
        ours = derive_id(prefix, self._cause, theirs)
        self.origins[ours] = theirs
        return ours

    def name_holder(self, theirs: str) -> str:
        """Return the id of a stakeholder here. A party's or stakeholder's id of this market is kept."""
        if any(is_id(theirs, prefix) for prefix in _HOLDERS):
            return theirs
        return self.name("stk", theirs)

    def find_class(self, theirs: str) -> str:
        """Return the name here of a class of the package; an id that no class of it has is returned unchanged."""
        return self.classes.get(theirs, theirs)

    def name_class(self, item: ocf.StockClass) -> str:
        """Give a class its short name here, made from its name, and return it; a number distinguishes equal ones."""
        slug = re.sub(r"[^a-z0-9]+", "-", item.name.lower()).strip("-")[:_CLASS_ID_SIZE_MAX] or "class"
        slug = item.name if _CLASS_ID.fullmatch(item.name) else slug
        taken, candidate, number = {*self.classes.values(), *CLASS_IDS_RESERVED}, slug, 2
        while candidate in taken:
            candidate, number = f"{slug}-{number}", number + 1
        self.classes[item.id] = candidate
        self.origins[candidate] = item.id
        return candidate

    def find_issuance(self, security_id: str) -> tx.Issuance | None:
        """Return the issuance of a security; None if the package has none."""
        return self._issuances.get(security_id)

    def find_first(self, security_id: str) -> str:
        """Return the option that a balance stems from, through any number of cancellations."""
        while security_id in self._before:
            security_id = self._before[security_id]
        return security_id

    def retires_cancelled(self, item: tx.CompensationIssuance) -> bool:
        """Return whether the option's plan retires cancelled shares instead of taking them back."""
        plans = [located.item for located in self.package.items if isinstance(located.item, ocf.StockPlan)]
        own = (plan for plan in plans if plan.id == item.stock_plan_id)
        return any(plan.default_cancellation_behavior in {"RETIRE", "HOLD_AS_CAPITAL_STOCK"} for plan in own)

    def is_implied(self, security_id: str) -> bool:
        """Return whether another transaction creates the security, so that its issuance is no act of its own."""
        return security_id in self._implied

    def is_retracted(self, security_id: str) -> bool:
        """Return whether a security was retracted: it should never have been issued."""
        return any(isinstance(item, tx.Retraction) and item.security_id == security_id for item in self.transactions)

    def find_usd(self, located: Located, money: Monetary | UnsetType) -> Decimal | None:
        """Return an amount in dollars, None if absent; another currency is reported as a problem."""
        if money is UNSET:
            return None
        if money.currency != USD:
            self.report_problem(
                located, "currency_not_kept", f"{money.amount} {money.currency}: the marketplace keeps dollars"
            )
            return None
        return Decimal(money.amount)

    def find_shares(self, located: Located, quantity: str) -> int | None:
        """Return whole shares; None, with a problem reported, if they are a fraction."""
        shares = find_whole(quantity)
        if shares is None:
            self.report_problem(located, "shares_not_whole", f"{quantity} are no whole shares")
        return shares

    def find_authorised(self, item: ocf.StockClass) -> int | None:
        """Return the authorised shares that a class begins with, None unless they are a whole number."""
        text = item.initial_shares_authorized
        shares = find_whole(text) if is_number(text) else None
        self._authorised[item.id] = shares or 0
        return shares

    def set_authorised(self, located: Located, item: tx.ClassAuthorized) -> None:
        """Set the authorised shares of a class if they differ."""
        shares = self.find_shares(located, item.new_shares_authorized)
        if shares is None or self._authorised.get(item.stock_class_id) == shares:
            return
        self._authorised[item.stock_class_id] = shares
        class_id = self.find_class(item.stock_class_id)
        event = issuers.IssuerAuthorisedSharesAdjusted(
            issuer_id=self.issuer_id, class_id=class_id, shares_authorised=shares
        )
        self.add(located, item.date, event)

    def list_uncreated(self, item: tx.Transaction | None = None) -> list[Located]:
        """Return the classes that a transaction needs and that do not exist yet, and count them as created.

        OCF has no date of their creation.

        Args:
            item: The transaction; None for every remaining class.
        """
        named = None if item is None else self._list_named(item)
        found = []
        for located in self.package.items:
            if isinstance(located.item, ocf.StockClass) and located.item.id not in self.created:
                if named is not None and located.item.id not in named:
                    continue
                self.created.append(located.item.id)
                found.append(located)
        return found

    def _list_named(self, item: tx.Transaction) -> set[str]:
        """Return the classes that a transaction needs; splits of one day need the classes that they split."""
        if isinstance(item, tx.StockClassSplit):
            return {split.stock_class_id for split in self.list_splits(item)}
        named = {getattr(item, "stock_class_id", UNSET)}
        if isinstance(item, tx.WarrantIssuance):
            named |= {trigger.conversion_right.converts_to_stock_class_id for trigger in item.exercise_triggers}
        if isinstance(item, tx.CompensationIssuance) and not self._has_common():
            plans = [located.item for located in self.package.items if isinstance(located.item, ocf.StockPlan)]
            named |= {name for plan in plans if plan.id == item.stock_plan_id for name in list_plan_classes(plan)[:1]}
        named |= {getattr(self._issuances.get(name), "stock_class_id", UNSET) for name in list_results(item)}
        return {str(name) for name in named if name is not UNSET}

    def _has_common(self) -> bool:
        classes = (located.item for located in self.package.items if isinstance(located.item, ocf.StockClass))
        return any(each.class_type == "COMMON" and each.id in self.created for each in classes)

    def split_counts(self, ratio: Fraction) -> None:
        """Multiply the pool and the authorised shares, as a split of every class does here."""
        self._authorised = {class_id: int(shares * ratio) for class_id, shares in self._authorised.items()}
        self._reserved = {plan_id: int(shares * ratio) for plan_id, shares in self._reserved.items()}

    def list_splits(self, item: tx.StockClassSplit) -> list[tx.StockClassSplit]:
        """Return the splits of the same day and ratio, one for each class; together they are one split here."""
        alike = [
            each
            for each in self.transactions
            if isinstance(each, tx.StockClassSplit) and (each.date, each.split_ratio) == (item.date, item.split_ratio)
        ]
        earlier = [each for each in alike[: alike.index(item)] if each.stock_class_id == item.stock_class_id]
        seen: Counter[str] = Counter()
        together = []
        for each in alike:
            if seen[each.stock_class_id] == len(earlier):
                together.append(each)
            seen[each.stock_class_id] += 1
        return together

    def find_ratio(self, first: tx.WarrantIssuance, last: tx.Transaction, class_id: str) -> Fraction:
        """Return the factor by which splits of a class multiplied a warrant's shares from issuance to a later act."""
        between = self.transactions[self.transactions.index(first) : self.transactions.index(last)]
        ratio = Fraction(1)
        for each in between:
            if isinstance(each, tx.StockClassSplit) and each.stock_class_id == class_id:
                ratio *= Fraction(each.split_ratio.numerator) / Fraction(each.split_ratio.denominator)
        return ratio

    def set_plan(self, located: Located, plan_id: str, shares: str, day: date) -> None:
        """Set the size of one plan, and so of the pool, which is the sum of all plans."""
        whole = self.find_shares(located, shares)
        if whole is None or self._reserved.get(plan_id, 0) == whole:
            return
        self._reserved[plan_id] = whole
        event = issuers.IssuerStockPlanAdjusted(issuer_id=self.issuer_id, shares_reserved=sum(self._reserved.values()))
        self.add(located, day, event)


def list_plan_classes(plan: ocf.StockPlan) -> tuple[str, ...]:
    """Return the classes of a plan; OCF has two members for them."""
    if plan.stock_class_ids is not UNSET:
        return plan.stock_class_ids
    return () if plan.stock_class_id is UNSET else (plan.stock_class_id,)


def at_midnight(day: date) -> datetime:
    """Return the first instant of a day."""
    return datetime.combine(day, time(), UTC)


def _list_implied(transactions: list[tx.Transaction]) -> set[str]:
    """Return the results of transfers, exercises, reissues and conversions of stock, and balances.

    The balance of a cancelled warrant is not among them; it is imported as a warrant of its own.
    """
    implied: set[str] = set()
    for item in transactions:
        if isinstance(item, tx.Transfer | tx.Exercise | tx.StockReissuance | tx.StockConversion):
            implied.update(list_results(item))
        balance = find_balance(item)
        if balance is not None and not isinstance(item, tx.WarrantCancellation):
            implied.add(balance)
    return implied


def _list_balances(transactions: list[tx.Transaction]) -> dict[str, str]:
    """Return the option that each balance of a cancellation came from, unless the balance is that option itself."""
    balances: dict[str, str] = {}
    for item in transactions:
        balance = find_balance(item)
        if isinstance(item, tx.CompensationCancellation) and balance not in (None, item.security_id, *balances):
            balances[str(balance)] = item.security_id
    return balances
