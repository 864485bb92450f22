"""Options and warrants in a package; see `outgoing`."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

from msgspec import UNSET

from events import issuer as issuers
from marketplace.ocf import transactions as tx
from marketplace.ocf.lots import Lot
from marketplace.ocf.numbers import render_money, render_number
from marketplace.ocf.values import ConversionRight, ElectiveAtWill, FixedMechanism
from marketplace.ocf.writing import PLAN_ID, Writing, render_comments


def _grant_option(out: Writing, event: issuers.IssuerOptionGranted) -> None:
    out.require_stakeholder(event.holder_id)
    out.prices[event.option_id] = Fraction(event.exercise_price_usd)
    numbered = out.number()
    out.transactions.append(
        tx.CompensationIssuance(
            **numbered,
            comments=render_comments(event.approval),
            security_id=event.option_id,
            custom_id=f"OPTION-{numbered['id'].removeprefix('tx-')}",
            stakeholder_id=event.holder_id,
            security_law_exemptions=(),
            compensation_type="OPTION",
            stock_plan_id=PLAN_ID,
            quantity=render_number(event.shares),
            exercise_price=render_money(event.exercise_price_usd),
            expiration_date=None,
            termination_exercise_windows=(),
        )
    )


def _exercise_option(out: Writing, event: issuers.IssuerOptionExercised) -> None:
    result = Lot(out.number_result(), event.shares, out.prices[event.option_id])
    out.transactions.append(
        tx.CompensationExercise(
            **out.number(),
            security_id=event.option_id,
            quantity=render_number(event.shares),
            resulting_security_ids=(result.security_id,),
        )
    )
    out.issue_stock(event.holder_id, event.class_id, result)


def _issue_warrant(out: Writing, event: issuers.IssuerWarrantIssued) -> None:
    out.require_stakeholder(event.holder_id)
    out.prices[event.warrant_id] = Fraction(event.exercise_price_usd)
    numbered = out.number()
    right = ConversionRight(
        type="WARRANT_CONVERSION_RIGHT",
        conversion_mechanism=FixedMechanism(converts_to_quantity=render_number(event.shares)),
        converts_to_stock_class_id=event.class_id,
    )
    out.transactions.append(
        tx.WarrantIssuance(
            **numbered,
            comments=render_comments(event.approval),
            security_id=event.warrant_id,
            custom_id=f"WARRANT-{numbered['id'].removeprefix('tx-')}",
            stakeholder_id=event.holder_id,
            security_law_exemptions=(),
            exercise_triggers=(ElectiveAtWill(trigger_id=f"{event.warrant_id}-exercise", conversion_right=right),),
            purchase_price=render_money(Fraction(0)),
            quantity=render_number(event.shares),
            quantity_source="INSTRUMENT_FIXED",
            exercise_price=render_money(event.exercise_price_usd),
            warrant_expiration_date=event.expires_at.date(),
        )
    )


def _exercise_warrant(out: Writing, event: issuers.IssuerWarrantExercised) -> None:
    result = Lot(out.number_result(), event.shares, out.prices[event.warrant_id])
    surrendered = f"{event.shares_surrendered} shares of the right were given up to pay for them."
    out.transactions.append(
        tx.WarrantExercise(
            **out.number(),
            security_id=event.warrant_id,
            trigger_id=f"{event.warrant_id}-exercise",
            resulting_security_ids=(result.security_id,),
            consideration_text=surrendered if event.shares_surrendered else UNSET,
        )
    )
    out.issue_stock(event.holder_id, event.class_id, result)


RIGHTS: Final[dict[type[Any], Callable[[Writing, Any], None]]] = {
    issuers.IssuerOptionGranted: _grant_option,
    issuers.IssuerOptionExercised: _exercise_option,
    issuers.IssuerWarrantIssued: _issue_warrant,
    issuers.IssuerWarrantExercised: _exercise_warrant,
}
