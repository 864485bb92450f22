"""Options and warrants of another system's package; see `incoming`."""

from collections.abc import Callable
from datetime import UTC, datetime, time
from fractions import Fraction
from typing import Any, Final

from msgspec import UNSET

from events import issuer as issuers
from marketplace.ocf import transactions as tx
from marketplace.ocf.import_context import ImportContext
from marketplace.ocf.parsing import Located


def _grant(context: ImportContext, located: Located, item: tx.CompensationIssuance) -> None:
    if context.is_retracted(item.security_id) or context.is_implied(item.security_id):
        return
    if not item.compensation_type.startswith("OPTION"):
        reason = f"the marketplace keeps options only, not {item.compensation_type}"
        context.report_problem(located, "compensation_not_kept", reason)
        return
    if item.stock_plan_id is UNSET:
        context.report_problem(located, "plan_missing", "the marketplace grants options from the pool; name the plan")
        return
    price = context.find_usd(located, item.exercise_price)
    shares = context.find_shares(located, item.quantity)
    if price is None or shares is None:
        return
    context.add(
        located,
        item.date,
        issuers.IssuerOptionGranted(
            issuer_id=context.issuer_id,
            option_id=context.name("opt", item.security_id),
            holder_id=context.name_holder(item.stakeholder_id),
            shares=shares,
            exercise_price_usd=price,
        ),
    )


def _cancel_option(context: ImportContext, located: Located, item: tx.CompensationCancellation) -> None:
    first_id = context.find_first(item.security_id)
    issuance, shares = context.find_issuance(first_id), context.find_shares(located, item.quantity)
    if not isinstance(issuance, tx.CompensationIssuance) or shares is None:
        return
    if context.retires_cancelled(issuance):
        reason = "the plan retires what is cancelled, and the marketplace gives it back to the pool"
        context.report_problem(located, "cancelled_shares_retired", reason)
    context.add(
        located,
        item.date,
        issuers.IssuerOptionCancelled(
            issuer_id=context.issuer_id,
            cancellation_id=context.name("can", item.id),
            option_id=context.name("opt", first_id),
            holder_id=context.name_holder(issuance.stakeholder_id),
            shares=shares,
            kind="cancelled",
            reason=item.reason_text,
        ),
    )


def _exercise_option(context: ImportContext, located: Located, item: tx.CompensationExercise) -> None:
    shares = context.find_shares(located, item.quantity)
    issuance = context.find_issuance(item.security_id)
    made = _find_stock(context, located, item, issuance)
    if shares is None or not made or not isinstance(issuance, tx.CompensationIssuance):
        return
    context.add(
        located,
        item.date,
        issuers.IssuerOptionExercised(
            issuer_id=context.issuer_id,
            exercise_id=context.name("exr", item.id),
            option_id=context.name("opt", context.find_first(item.security_id)),
            holder_id=context.name_holder(issuance.stakeholder_id),
            class_id=context.find_class(made[0].stock_class_id),
            shares=shares,
        ),
    )


def _find_stock(
    context: ImportContext, located: Located, item: tx.Exercise, right: tx.Issuance | None
) -> list[tx.StockIssuance]:
    """Return the stock that an exercise made, all of one class and of the right's holder; empty if refused."""
    made = [context.find_issuance(name) for name in item.resulting_security_ids]
    stock = [each for each in made if isinstance(each, tx.StockIssuance)]
    if not stock or right is None:
        context.report_problem(located, "exercise_without_stock", "the exercise names no stock that comes out of it")
        return []
    for each in stock:
        if (each.stakeholder_id, each.stock_class_id) != (right.stakeholder_id, stock[0].stock_class_id):
            reason = (
                f"security {each.security_id} is of class {each.stock_class_id} and held by {each.stakeholder_id}; an "
                f"exercise here makes stock of one class for the holder of the right, {right.stakeholder_id}"
            )
            context.report_problem(located, "exercise_splits", reason)
            return []
    return stock


def _issue_warrant(context: ImportContext, located: Located, item: tx.WarrantIssuance) -> None:
    if context.is_retracted(item.security_id):
        return
    rights = [trigger.conversion_right.converts_to_stock_class_id for trigger in item.exercise_triggers]
    class_id = next((right for right in rights if right is not UNSET), None)
    missing = [
        name
        for name, value in (
            ("quantity", item.quantity),
            ("exercise_price", item.exercise_price),
            ("warrant_expiration_date", item.warrant_expiration_date),
            ("converts_to_stock_class_id", class_id or UNSET),
        )
        if value is UNSET
    ]
    if missing:
        context.report_problem(
            located, "warrant_incomplete", f"the marketplace needs {', '.join(missing)} of a warrant"
        )
        return
    assert item.quantity is not UNSET
    assert item.warrant_expiration_date is not UNSET
    price, shares = context.find_usd(located, item.exercise_price), context.find_shares(located, item.quantity)
    if price is None or shares is None or class_id is None:
        return
    if _is_cancelled(context, located, item):
        shares = _sum_exercised(context, located, item, class_id)
        if not shares:
            return
    context.add(
        located,
        item.date,
        issuers.IssuerWarrantIssued(
            issuer_id=context.issuer_id,
            warrant_id=context.name("wrt", item.security_id),
            holder_id=context.name_holder(item.stakeholder_id),
            class_id=context.find_class(class_id),
            shares=shares,
            exercise_price_usd=price,
            expires_at=datetime.combine(item.warrant_expiration_date, time.max, UTC),
            settlement="either",
        ),
    )


def _is_cancelled(context: ImportContext, located: Located, item: tx.WarrantIssuance) -> bool:
    """Return whether a warrant was cancelled. Its earlier exercises are kept; its balance is a warrant of its own."""
    for each in context.transactions:
        if isinstance(each, tx.WarrantCancellation) and each.security_id == item.security_id:
            reason = f"{each.quantity} shares were cancelled on {each.date}; the warrant is kept without them"
            context.report_loss(located, "cancelled_part_not_kept", reason)
            return True
    return False


def _sum_exercised(context: ImportContext, located: Located, item: tx.WarrantIssuance, class_id: str) -> int:
    """Return the shares exercised of a warrant, counted before splits since its issuance."""
    shares = Fraction(0)
    for each in context.transactions:
        if isinstance(each, tx.WarrantExercise) and each.security_id == item.security_id:
            made = [context.find_issuance(name) for name in each.resulting_security_ids]
            bought = sum(
                context.find_shares(located, one.quantity) or 0 for one in made if isinstance(one, tx.StockIssuance)
            )
            shares += bought / context.find_ratio(item, each, class_id)
    if shares.denominator != 1:
        reason = f"{shares} shares as issued were exercised, not a whole number, and the rest was cancelled"
        context.report_problem(located, "shares_not_whole", reason)
    return int(shares)


def _exercise_warrant(context: ImportContext, located: Located, item: tx.WarrantExercise) -> None:
    issuance = context.find_issuance(item.security_id)
    stock = _find_stock(context, located, item, issuance)
    if not stock or not isinstance(issuance, tx.WarrantIssuance):
        return
    shares = sum(context.find_shares(located, each.quantity) or 0 for each in stock)
    class_id = stock[0].stock_class_id
    context.add(
        located,
        item.date,
        issuers.IssuerWarrantExercised(
            issuer_id=context.issuer_id,
            exercise_id=context.name("exr", item.id),
            warrant_id=context.name("wrt", item.security_id),
            holder_id=context.name_holder(issuance.stakeholder_id),
            class_id=context.find_class(class_id),
            shares=shares,
        ),
    )


RIGHTS: Final[dict[type[Any], Callable[[ImportContext, Located, Any], None]]] = {
    tx.CompensationIssuance: _grant,
    tx.CompensationExercise: _exercise_option,
    tx.CompensationCancellation: _cancel_option,
    tx.WarrantIssuance: _issue_warrant,
    tx.WarrantExercise: _exercise_warrant,
}
