"""Checks the references and the life cycle of a package: the fourth level of checks, which no schema can state.

- Every id that an object names exists and has the right kind; no id is used twice.
- A security is issued once, between the issuer's formation and the day of the package. Its issuance comes before its
  other transactions. No transaction follows its end, and none takes more of it than is left.
- A security that a transaction creates is issued on the day of that transaction, for the amount that it moved; its
  balance security holds the rest.
- No class has more shares outstanding than authorised, and no plan more granted than reserved.
"""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, Final

from msgspec import UNSET

from marketplace.ocf import objects as ocf
from marketplace.ocf import transactions as tx
from marketplace.ocf.findings import Findings
from marketplace.ocf.lifecycle import LifeCycle
from marketplace.ocf.parsing import Located, Package

_REFERENCES: Final[tuple[tuple[str, type[Any] | tuple[type[Any], ...]], ...]] = (
    ("stakeholder_id", ocf.Stakeholder),
    ("stock_class_id", ocf.StockClass),
    ("stock_class_ids", ocf.StockClass),
    ("stock_plan_id", ocf.StockPlan),
    ("vesting_terms_id", ocf.VestingTerms),
    ("stock_legend_ids", ocf.StockLegendTemplate),
    ("split_transaction_id", tx.StockClassSplit),
)
"""Members that name an object by its id, and the kind that it has to have."""


def check_package(package: Package, findings: Findings) -> None:
    """Add what is wrong with references and life cycle to `findings`."""
    by_id = _index(package, findings)
    for located in package.items:
        for code, reason in _list_dangling(located, by_id, package.manifest.issuer.id):
            findings.add("problem", located.file, located.label, code, reason)
        for code, reason in _list_misdated(located, package.manifest):
            findings.add("problem", located.file, located.label, code, reason)
    LifeCycle(package, findings).check()


def _index(package: Package, findings: Findings) -> dict[str, ocf.Item]:
    by_id: dict[str, ocf.Item] = {package.manifest.issuer.id: package.manifest.issuer}
    for located in package.items:
        if located.item.id in by_id:
            reason = f"id {located.item.id} is used by another object as well"
            findings.add("problem", located.file, located.label, "id_repeated", reason)
        by_id[located.item.id] = located.item
    return by_id


def _list_dangling(located: Located, by_id: dict[str, ocf.Item], issuer_id: str) -> Iterator[tuple[str, str]]:
    item = located.item
    for member, kind in _REFERENCES:
        value = getattr(item, member, UNSET)
        for name in (value,) if isinstance(value, str) else () if value is UNSET else value:
            target = by_id.get(name)
            if target is None:
                yield "reference_dangling", f"{member} names {name!r}, and nothing has that id"
            elif not isinstance(target, kind):
                yield "reference_mistyped", f"{member} names {name!r}, which is a {target.__struct_config__.tag}"
    if isinstance(item, tx.IssuerAuthorized) and item.issuer_id != issuer_id:
        yield "reference_dangling", f"issuer_id names {item.issuer_id!r}, and the issuer is {issuer_id!r}"
    yield from _CHECKS.get(type(item), _nothing)(item, by_id)


def _nothing(_: Any, __: dict[str, ocf.Item]) -> Iterator[tuple[str, str]]:
    yield from ()


def _check_financing(item: ocf.Financing, by_id: dict[str, ocf.Item]) -> Iterator[tuple[str, str]]:
    securities = {each.security_id for each in by_id.values() if isinstance(each, tx.Issuance)}
    for name in item.issuance_ids:
        if not isinstance(by_id.get(name), tx.Issuance) and name not in securities:
            yield "reference_dangling", f"issuance_ids names {name!r}, and no issuance has that id"


def _check_document(item: ocf.Document, by_id: dict[str, ocf.Item]) -> Iterator[tuple[str, str]]:
    if (item.path is UNSET) == (item.uri is UNSET):
        yield "item_invalid", "a document has either a path or a uri"
    for reference in () if item.related_objects is UNSET else item.related_objects:
        if reference.object_id not in by_id:
            yield "reference_dangling", f"related_objects names {reference.object_id!r}, and nothing has that id"


def _check_plan(item: ocf.StockPlan, _: dict[str, ocf.Item]) -> Iterator[tuple[str, str]]:
    if (item.stock_class_id is UNSET) == (item.stock_class_ids is UNSET):
        yield "item_invalid", "a plan has either stock_class_id or stock_class_ids"


def _check_compensation(item: tx.CompensationIssuance, _: dict[str, ocf.Item]) -> Iterator[tuple[str, str]]:
    if item.compensation_type.startswith("OPTION") and item.exercise_price is UNSET:
        yield "item_invalid", "an option has an exercise_price"
    if item.compensation_type in {"CSAR", "SSAR"} and item.base_price is UNSET:
        yield "item_invalid", "a stock appreciation right has a base_price"


def _check_convertible(item: tx.ConvertibleIssuance, _: dict[str, ocf.Item]) -> Iterator[tuple[str, str]]:
    if not item.conversion_triggers:
        yield "item_invalid", "a convertible has at least one conversion trigger"


_CHECKS: Final[dict[type[Any], Callable[[Any, dict[str, ocf.Item]], Iterator[tuple[str, str]]]]] = {
    ocf.Financing: _check_financing,
    ocf.Document: _check_document,
    ocf.StockPlan: _check_plan,
    tx.CompensationIssuance: _check_compensation,
    tx.ConvertibleIssuance: _check_convertible,
}


def _list_misdated(located: Located, manifest: ocf.Manifest) -> Iterator[tuple[str, str]]:
    day: date | None = located.item.date if isinstance(located.item, tx.Transaction | ocf.Financing) else None
    if day is None:
        return
    formed = manifest.issuer.formation_date
    if day < formed:
        yield "date_before_formation", f"{day} is before the formation on {formed}"
    if day > manifest.as_of:
        yield "date_after_package", f"{day} is after {manifest.as_of}, the day of the package"
