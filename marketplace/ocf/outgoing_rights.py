"""Options and warrants in a package; see `outgoing`."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final, get_args

from msgspec import UNSET

from events import issuer as issuers
from events.financing import Approval
from marketplace.ocf import transactions as tx
from marketplace.ocf.lots import Lot
from marketplace.ocf.numbers import render_money, render_number
from marketplace.ocf.outgoing_vesting import build_schedule, build_tranches
from marketplace.ocf.values import (
    ConversionRight,
    ElectiveAtWill,
    FixedMechanism,
    TerminationReason,
    TerminationWindow,
)
from marketplace.ocf.writing import PLAN_ID, Right, Writing, render_comments


def _grant_option(out: Writing, event: issuers.IssuerOptionGranted) -> None:
    out.require_stakeholder(event.holder_id)
    out.prices[event.option_id] = Fraction(event.exercise_price_usd)
    out.rights[event.option_id] = Right(event.option_id, event.shares)
    out.windows[event.option_id] = _build_windows(event.termination_exercise_days)
    if event.vesting is not None:
        out.vesting[event.option_id] = build_schedule(event.option_id, event.vesting)
    _write_option(out, event.option_id, event.holder_id, event.approval)


def _build_windows(days: int | None) -> tuple[TerminationWindow, ...]:
    """Return the window after an end of service, which is the same for every reason; None: there is none."""
    reasons = get_args(TerminationReason)
    return (
        ()
        if days is None
        else tuple(TerminationWindow(reason=each, period=days, period_type="DAYS") for each in reasons)
    )


def _write_option(out: Writing, option_id: str, holder_id: str, approval: Approval | None = None) -> None:
    right, numbered = out.rights[option_id], out.number()
    out.transactions.append(
        tx.CompensationIssuance(
            **numbered,
            comments=render_comments(approval, out.prices[option_id]),
            security_id=right.security_id,
            custom_id=f"OPTION-{numbered['id'].removeprefix('tx-')}",
            stakeholder_id=holder_id,
            security_law_exemptions=(),
            compensation_type="OPTION",
            stock_plan_id=PLAN_ID,
            quantity=render_number(right.shares),
            exercise_price=render_money(out.prices[option_id]),
            vesting_terms_id=out.vesting[option_id].id if option_id in out.vesting else UNSET,
            expiration_date=None,
            termination_exercise_windows=out.windows[option_id],
        )
    )


def _cancel_option(out: Writing, event: issuers.IssuerOptionCancelled) -> None:
    """End the option's certificate; what remains gets a new one, and the cancelled shares return to the pool."""
    if not event.shares:
        return
    right = out.rights[event.option_id]
    before = right.security_id
    right.shares -= event.shares
    if right.shares:
        right.security_id = out.number_result()
    out.transactions.append(
        tx.CompensationCancellation(
            **out.number(),
            security_id=before,
            reason_text=f"{event.kind}: {event.reason}",
            quantity=render_number(event.shares),
            balance_security_id=right.security_id if right.shares else UNSET,
        )
    )
    out.transactions.append(
        tx.ReturnToPool(
            **out.number(),
            security_id=before,
            stock_plan_id=PLAN_ID,
            quantity=render_number(event.shares),
            reason_text=event.reason,
        )
    )
    if right.shares:
        _write_option(out, event.option_id, event.holder_id)


def _transfer_option(out: Writing, event: issuers.IssuerOptionTransferred) -> None:
    """Transfer the option's certificate; the new holder gets a new one."""
    out.require_stakeholder(event.holder_id_after)
    right = out.rights[event.option_id]
    before, right.security_id = right.security_id, out.number_result()
    out.transactions.append(
        tx.CompensationTransfer(
            **out.number(),
            security_id=before,
            quantity=render_number(right.shares),
            resulting_security_ids=(right.security_id,),
        )
    )
    _write_option(out, event.option_id, event.holder_id_after)


def _exercise_option(out: Writing, event: issuers.IssuerOptionExercised) -> None:
    right = out.rights[event.option_id]
    right.shares -= event.shares
    result = Lot(out.number_result(), event.shares, out.prices[event.option_id])
    out.transactions.append(
        tx.CompensationExercise(
            **out.number(),
            security_id=right.security_id,
            quantity=render_number(event.shares),
            resulting_security_ids=(result.security_id,),
        )
    )
    out.issue_stock(event.holder_id, event.class_id, result)


def _issue_warrant(out: Writing, event: issuers.IssuerWarrantIssued) -> None:
    out.require_stakeholder(event.holder_id)
    out.prices[event.warrant_id] = Fraction(event.exercise_price_usd)
    out.rights[event.warrant_id] = Right(event.warrant_id, event.shares)
    out.warrants[event.warrant_id] = event
    if event.tranches:
        out.vesting[event.warrant_id] = build_tranches(event, out.day)
    out.holders[event.warrant_id] = event.holder_id
    _write_warrant(out, event)


def _render_terms(event: issuers.IssuerWarrantIssued, price: Fraction) -> Any:
    """Return the comments of a warrant. OCF has no milestones, so they say where the conditions of its tranches are."""
    comments = render_comments(event.approval, price)
    if not event.tranches:
        return comments
    shares = ", ".join(f"{tranche.shares:,}" for tranche in event.tranches)
    text = f"Vests in {len(event.tranches)} tranches of {shares} shares as issued; the vesting terms describe them."
    return (text,) if comments is UNSET else (*comments, text)


def _transfer_warrant(out: Writing, event: issuers.IssuerWarrantTransferred) -> None:
    """Transfer the warrant's certificate; the new holder gets a new one."""
    out.require_stakeholder(event.holder_id_after)
    right = out.rights[event.warrant_id]
    before, right.security_id = right.security_id, out.number_result()
    out.holders[event.warrant_id] = event.holder_id_after
    out.transactions.append(
        tx.WarrantTransfer(
            **out.number(),
            security_id=before,
            quantity=render_number(right.shares),
            resulting_security_ids=(right.security_id,),
        )
    )
    _write_warrant(out, out.warrants[event.warrant_id])


def _write_warrant(out: Writing, event: issuers.IssuerWarrantIssued) -> None:
    right, numbered = out.rights[event.warrant_id], out.number()
    shares, price = render_number(right.shares), out.prices[event.warrant_id]
    conversion = ConversionRight(
        type="WARRANT_CONVERSION_RIGHT",
        conversion_mechanism=FixedMechanism(converts_to_quantity=shares),
        converts_to_stock_class_id=event.class_id,
    )
    trigger = ElectiveAtWill(trigger_id=f"{right.security_id}-exercise", conversion_right=conversion)
    out.transactions.append(
        tx.WarrantIssuance(
            **numbered,
            comments=_render_terms(event, price),
            security_id=right.security_id,
            custom_id=f"WARRANT-{numbered['id'].removeprefix('tx-')}",
            stakeholder_id=out.holders[event.warrant_id],
            security_law_exemptions=(),
            exercise_triggers=(trigger,),
            purchase_price=render_money(out.paid.get(event.warrant_id, Fraction(0))),
            quantity=shares,
            quantity_source="INSTRUMENT_FIXED",
            exercise_price=render_money(price),
            warrant_expiration_date=event.expires_at.date(),
            vesting_terms_id=out.vesting[event.warrant_id].id if event.tranches else UNSET,
        )
    )


def _exercise_warrant(out: Writing, event: issuers.IssuerWarrantExercised) -> None:
    right = out.rights[event.warrant_id]
    _use(out, event.warrant_id, event.shares)
    own = event.exercise_price_usd
    result = Lot(out.number_result(), event.shares, out.prices[event.warrant_id] if own is None else Fraction(own))
    out.transactions.append(
        tx.WarrantExercise(
            **out.number(),
            security_id=right.security_id,
            trigger_id=f"{right.security_id}-exercise",
            resulting_security_ids=(result.security_id,),
        )
    )
    out.issue_stock(event.holder_id, event.class_id, result)
    if event.shares_surrendered:
        _give_up(out, event.warrant_id, event.shares_surrendered, "given up to pay for the shares of a net exercise")


def _expire_warrant(out: Writing, event: issuers.IssuerWarrantExpired) -> None:
    if event.shares:
        _give_up(out, event.warrant_id, event.shares, "expired")


def _cancel_warrant(out: Writing, event: issuers.IssuerWarrantCancelled) -> None:
    _give_up(out, event.warrant_id, event.shares, f"the principal of {event.cause} that bought it was taken back")


def round_warrants_down(out: Writing, ratio: Fraction) -> None:
    """Cancel the shares of warrants that a consolidation would turn into a fraction of a share."""
    for warrant_id in sorted(out.warrants):
        odd = out.rights[warrant_id].shares % ratio.denominator
        if odd:
            _give_up(out, warrant_id, odd, "would have become a fraction of a share in a consolidation")


def _use(out: Writing, warrant_id: str, shares: int) -> None:
    """Reduce a warrant by used rights, and its cost in proportion."""
    right = out.rights[warrant_id]
    if warrant_id in out.paid and right.shares:
        out.paid[warrant_id] *= Fraction(right.shares - shares, right.shares)
    right.shares -= shares


def _give_up(out: Writing, warrant_id: str, shares: int, reason: str) -> None:
    """Cancel shares of a warrant's certificate; the rest gets a new one."""
    right = out.rights[warrant_id]
    before = right.security_id
    _use(out, warrant_id, shares)
    if right.shares:
        right.security_id = out.number_result()
    out.transactions.append(
        tx.WarrantCancellation(
            **out.number(),
            security_id=before,
            reason_text=reason,
            quantity=render_number(shares),
            balance_security_id=right.security_id if right.shares else UNSET,
        )
    )
    if right.shares:
        _write_warrant(out, out.warrants[warrant_id])


RIGHTS: Final[dict[type[Any], Callable[[Writing, Any], None]]] = {
    issuers.IssuerOptionGranted: _grant_option,
    issuers.IssuerOptionExercised: _exercise_option,
    issuers.IssuerOptionTransferred: _transfer_option,
    issuers.IssuerOptionCancelled: _cancel_option,
    issuers.IssuerWarrantIssued: _issue_warrant,
    issuers.IssuerWarrantExercised: _exercise_warrant,
    issuers.IssuerWarrantExpired: _expire_warrant,
    issuers.IssuerWarrantCancelled: _cancel_warrant,
    issuers.IssuerWarrantTransferred: _transfer_warrant,
}
