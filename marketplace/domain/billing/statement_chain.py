"""The statements of one period: which comes next, and when a period may be stated, adjusted or closed.

The statement of a period and its adjustments are a chain, oldest first.

Refusals: period_runs · statement_out_of_order · adjustments_too_many when a period is stated; statement_<status> ·
nothing_to_adjust · adjustment_early when it is adjusted; dispute_decided when an adjustment is disputed;
amount_missing · concession_above_count when a dispute is resolved;
statements_open when its grant or service line closes.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Final

from msgspec.structs import replace

from events.service import ServiceResult
from events.statement import Adjustment, Charges, ServiceCredit, StatementCredited, StatementIssued
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.core.instants import render_instant
from marketplace.core.money import ZERO, floor_cents
from marketplace.domain.billing.account_state import RESERVED_FOR
from marketplace.domain.billing.dispute import require_reseller
from marketplace.domain.billing.settlement import (
    build_tariff,
    compute_charges,
    compute_service_charges,
    compute_service_credit,
)
from marketplace.domain.billing.statement import Statement, require_amount
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.delivery.periods import ACCEPTANCE, CORRECTED_WITHIN, Period
from marketplace.domain.refusals import refuse_status

ADJUSTMENTS_MAX: Final = 1_000
ADJUSTMENTS_PROMPT: Final = 100
"""So many adjustments of a period may be made at any time; for each later one, one more week must have passed."""
FINAL: Final = frozenset({"platform", "undecided"})
"""Ends of a dispute after which the same amount is not disputed again."""

_CREDITED: Final = ServiceCredit.__struct_fields__


def name_adjustment(statement_id: str, number: int) -> str:
    """Return the id of a statement's adjustment. The first one has the number 0."""
    return derive_id("stm", statement_id, f"adjustment/{number}")


def refuse_adjustments(statement_id: str) -> Refusal:
    """Return the refusal ``adjustments_too_many``, for a statement with as many adjustments as it may have."""
    return Refusal(
        "adjustments_too_many",
        f"statement {statement_id} was adjusted {ADJUSTMENTS_MAX} times, the maximum; settle what is left"
        " outside the market",
    )


def require_period_over(period: Period, at: datetime) -> None:
    """Refuse to state a period that is not over.

    Raises:
        Refusal: ``period_runs``.
    """
    if at < period.end:
        due = render_instant(period.end)
        raise Refusal("period_runs", f"the period ends at {due}; it is {render_instant(at)}", due=due)


def require_stated(period: Period, statement: Statement | None) -> None:
    """Refuse to state a period while an earlier one has no statement.

    Args:
        period: The earlier one.
        statement: Its statement; None if none is issued.

    Raises:
        Refusal: ``statement_out_of_order``.
    """
    if statement is None:
        said = f"statement {period.statement_id} of an earlier period is not issued yet"
        raise Refusal("statement_out_of_order", said)


def refuse_number(owner_id: str, number: int) -> Refusal:
    """Return the refusal ``statement_out_of_order``, for a statement whose number, from 0, another one has taken."""
    said = f"another statement became number {number + 1} of {owner_id} meanwhile; send this one again"
    return Refusal("statement_out_of_order", said)


def require_unaccepted(statement: Statement) -> None:
    """Refuse to accept a statement that is settled.

    Raises:
        Refusal: ``statement_accepted``.
    """
    if statement.status == "accepted":
        raise refuse_status("statement", statement.issued.statement_id, "accepted", "issued")


def require_settled(chain: Sequence[Statement]) -> None:
    """Refuse to adjust a period with a statement that is not settled.

    Raises:
        Refusal: ``statement_<status>``.
    """
    for known in chain:
        if known.status != "accepted":
            raise refuse_status("statement", known.issued.statement_id, known.status, "accepted")


def compute_due(chain: Sequence[Statement], metered: Decimal | int) -> Decimal | int:
    """Return the amount that a period is charged for in all, in the unit of `metered`, the period's present count.

    Without a dispute that is the present count. A settled dispute binds for the count at its time: the amount falls if
    less is metered now than was settled, and rises only by what is metered above the count at that time. A credit of
    which the seller of resold hours keeps a part binds in the same way for the count before it: the buyer has paid that
    part, and pays it once.
    """
    settled: Decimal | int | None = None
    seen: Decimal | int = 0
    charged: Decimal | int = 0
    for known in chain:
        charged += known.sign * known.amount
        if known.disputed is not None:
            settled, seen = charged, known.metered
        elif isinstance(known.issued, StatementCredited) and known.issued.reseller_keeps_usd:
            settled, seen = charged, known.issued.adjustment.gpu_seconds_before
    return metered if settled is None else min(metered, settled) + max(metered - seen, 0)


def compute_returned(chain: Sequence[Statement], charges: Charges, at: datetime) -> Decimal:
    """Return the USD that the seller of resold hours gives back of its part of what is credited.

    It gives back what it received of the period, for `RESERVED_FOR` after the last day on which the charge could be
    accepted: as long as its account keeps a tenth of it for corrections. In a dispute it said to how many GPU-seconds
    it agrees at the least; of these it keeps its part, whatever its provider says later.

    Args:
        chain: The settled statements of the period.
        charges: What is credited.
        at: Now.
    """
    part_usd, less = charges.reseller_receives_usd, charges.gpu_seconds
    if not part_usd:
        return ZERO
    recent_usd, agreed = ZERO, 0
    for known in chain:
        if isinstance(known.issued, StatementCredited) or at < known.issued.accept_until + RESERVED_FOR:
            recent_usd += known.sign * known.charges.reseller_receives_usd
        if known.floor is not None:
            agreed += min(int(known.floor), known.charges.gpu_seconds)
    beyond = min(max(int(sum_charged(chain)) - agreed, 0), less)
    return min(max(recent_usd, ZERO), floor_cents(Fraction(part_usd) * Fraction(beyond, less)), part_usd)


def sum_charged(chain: Sequence[Statement]) -> Decimal | int:
    """Return the GPU-seconds or hours that the statements of a period charge, less those that they credit."""
    return sum((known.sign * known.amount for known in chain), 0)


def count_uncharged(chain: Sequence[Statement], nodes: int, day: int, least: Fraction) -> int:
    """Return how many nodes of a grant the settled statements of a period do not charge; 0 if they charge enough.

    Args:
        chain: The statements.
        nodes: The nodes of the grant.
        day: The GPU-seconds of a day of the grant. A period that promised less shows nothing of the grant.
        least: The share of what was promised that is enough.
    """
    service = chain[-1].service
    promised = 0 if service is None else service.gpu_seconds_promised
    if not promised or promised < day:
        return 0
    share = Fraction(sum_charged(chain)) / promised
    return 0 if share >= least else nodes - floor(nodes * share)


def find_credit(
    chain: Sequence[Statement], charges: Charges, service: ServiceResult | None, *, sign: int = 1
) -> ServiceCredit | None:
    """Return the service credit of a period that is still due once `charges` are added, less what was given.

    Its amounts are negative where more was given than is due.

    Args:
        chain: The settled statements of the period.
        charges: What is charged besides, or credited.
        service: The service result of the period; None if nothing was promised.
        sign: -1 if the charges are credited.

    Returns:
        The difference; None if there is none.
    """
    parts = [(known.sign, known.charges) for known in chain] + [(sign, charges)]
    share = ZERO if service is None else service.credit
    due = compute_service_credit(replace(charges, **{name: _sum(parts, name) for name in _CREDITED}), share)
    given = [(known.sign, known.service_credit) for known in chain if known.service_credit is not None]
    left = {name: getattr(due, name) - _sum(given, name) for name in ServiceCredit.__struct_fields__}
    return ServiceCredit(**left) if any(left.values()) else None


def takes_back_principal(statement: Statement, charges: Charges, credit: ServiceCredit | None) -> bool:
    """Return whether a service credit takes back principal of the parts of a statement that were settled before.

    Args:
        statement: The statement.
        charges: What it settles in all.
        credit: The credit on that; None for none.
    """
    part = statement.settled
    if part is None or credit is None:
        return False
    known = ZERO if part.credit is None else part.credit.principal_usd
    return credit.principal_usd - known > charges.principal_usd - part.charges.principal_usd


def _sum(parts: Iterable[tuple[int, Charges | ServiceCredit]], name: str) -> Decimal:
    return sum((sign * getattr(amounts, name) for sign, amounts in parts), ZERO)


def is_worse(chain: Sequence[Statement], service: ServiceResult | None) -> bool:
    """Return whether more of a period was unavailable, or a larger share is credited, than was last stated."""
    stated = chain[-1].service
    if service is None or stated is None:
        return False
    return service.credit > stated.credit or service.gpu_seconds_unavailable > stated.gpu_seconds_unavailable


def require_difference(
    chain: Sequence[Statement], metered: Decimal | int, service: ServiceResult | None = None
) -> None:
    """Refuse to adjust a period if neither its metered amount nor its outages changed since the last statement.

    Raises:
        Refusal: ``nothing_to_adjust``.
    """
    if metered == chain[-1].metered and not is_worse(chain, service):
        is_service = chain[-1].issued.service_line_id is not None
        said = (
            f"the metered hours equal the stated hours, {metered}"
            if is_service
            else f"the metered usage equals the stated usage, {metered} GPU-seconds, and no outage was reported since"
        )
        raise Refusal("nothing_to_adjust", said)


def require_unit(statement: Statement, gpu_seconds: int | None, hours: Decimal | None) -> Decimal | int:
    """Return the amount that a dispute settles, in the unit of its statement.

    Raises:
        Refusal: ``amount_missing`` · refusals of `require_amount`.
    """
    amount = require_amount(statement, gpu_seconds, hours)
    if amount is None:
        name, member = (
            ("hours", "hours") if statement.issued.service_line_id is not None else ("GPU-seconds", "gpu_seconds")
        )
        raise Refusal("amount_missing", f"{member} is missing; state the total in {name}", pointer=f"/{member}")
    return amount


def require_concession(statement: Statement, amount: Decimal | int, at: datetime) -> None:
    """Refuse a provider that settles a dispute alone at more than the payers' count, or than their offer.

    Raises:
        Refusal: ``concession_above_count`` · ``reseller_disagrees``.
    """
    dispute = statement.dispute
    if dispute is None:
        return
    most = dispute.find_most()
    if amount > most:
        name, member = (
            ("hours", "hours") if statement.issued.service_line_id is not None else ("GPU-seconds", "gpu_seconds")
        )
        said = f"those who pay claim {most} {name}; concede that, offer more, or ask the platform"
        raise Refusal("concession_above_count", said, pointer=f"/{member}")
    require_reseller(dispute, amount, at)


def is_decided(chain: Sequence[Statement], metered: Decimal | int) -> bool:
    """Return whether the platform decided, or was to decide, a dispute when as much or more of a period was metered."""
    return any(known.ended_by in FINAL and metered <= known.metered for known in chain)


def require_undecided(chain: Sequence[Statement], statement: Statement) -> None:
    """Refuse to dispute an adjustment that only restores what the platform decided.

    Raises:
        Refusal: ``dispute_decided``.
    """
    if statement.issued.adjustment is not None and is_decided(chain, statement.metered):
        raise Refusal(
            "dispute_decided",
            f"the platform decided this period up to {statement.metered} metered; it cannot be disputed again",
        )


def require_spaced(chain: Sequence[Statement], period: Period, at: datetime) -> None:
    """Refuse an adjustment before its time; the next one then covers everything that changed.

    Raises:
        Refusal: ``adjustment_early``.
    """
    due = period.end + timedelta(weeks=max(len(chain) - ADJUSTMENTS_PROMPT, 0))
    if at < due:
        raise Refusal(
            "adjustment_early",
            f"statement {period.statement_id} was adjusted {len(chain) - 1} times; the next adjustment may be issued"
            f" from {render_instant(due)} on",
            due=render_instant(due),
        )


def find_correctable(grant: Grant, adjustment: Adjustment, at: datetime) -> datetime | None:
    """Return until when a grant stays open after a credit, so that lowered readings can be corrected up; None: it ends.

    It is as long as a statement may be disputed, and ends 30 days after the grant, so that nobody keeps money set aside
    by lowering readings again and again.
    """
    if adjustment.gpu_seconds_after >= adjustment.gpu_seconds_before:
        return None
    until = min(at + ACCEPTANCE, grant.end + CORRECTED_WITHIN)
    return until if until > at else None


def require_grant_settled(
    grant_id: str,
    period: Period,
    chain: Sequence[Statement],
    gpu_seconds: int,
    service: ServiceResult | None,
) -> None:
    """Refuse to close a grant unless a period is settled, with all that is metered and reported of it now.

    Args:
        grant_id: The grant.
        period: The period.
        chain: Its statements.
        gpu_seconds: The period's metered GPU-seconds now.
        service: Its service result now; None if nothing was promised.

    Raises:
        Refusal: ``statements_open``.
    """
    open_ids = [known.issued.statement_id for known in chain if known.status != "accepted"]
    if open_ids or not chain or chain[-1].gpu_seconds_metered != gpu_seconds or is_worse(chain, service):
        open_id = open_ids[0] if open_ids else period.statement_id
        raise Refusal(
            "statements_open",
            f"statement {open_id} of grant {grant_id} is not settled, or its metered usage or outages have changed;"
            " wait until it, or its adjustment, is settled",
            statement_id=open_id,
        )


def require_reported(grant_id: str, chain: Sequence[Statement], left: int, at: datetime) -> None:
    """Refuse to close a grant while late readings of a period may come that was accepted before the time to answer it.

    Args:
        grant_id: The grant.
        chain: The statements of the period.
        left: The GPU-seconds of nodes that worked in the period and that no reading counts.
        at: Now.

    Raises:
        Refusal: ``statements_open``, which names until when.
    """
    issued = chain[0].issued
    if left > 0 and isinstance(issued, StatementIssued) and at < issued.accept_until:
        due = render_instant(issued.accept_until)
        raise Refusal(
            "statements_open",
            f"statement {issued.statement_id} of grant {grant_id} was accepted early, and late readings of its period"
            f" may come until {due}; close it then",
            statement_id=issued.statement_id,
            due=due,
        )


def list_correctable(chain: Sequence[Statement], at: datetime) -> list[StatementCredited]:
    """Return the credits of a period whose lowered readings may be corrected up after an instant."""
    credited = (known.issued for known in chain if isinstance(known.issued, StatementCredited))
    return [each for each in credited if each.correct_until is not None and at < each.correct_until]


def require_uncorrectable(grant_id: str, correctable: Iterable[StatementCredited]) -> None:
    """Refuse to close a grant while readings that were lowered may be corrected up.

    Raises:
        Refusal: ``statements_open``, which names when the first of them no longer may.
    """
    for each in correctable:
        if each.correct_until is not None:
            due = render_instant(each.correct_until)
            raise Refusal(
                "statements_open",
                f"readings of grant {grant_id} were lowered, and may be corrected up until {due}; close it then",
                statement_id=each.statement_id,
                due=due,
            )


def require_line_settled(line_id: str, period: Period, chain: Sequence[Statement], hours: Decimal) -> None:
    """Refuse to close a service line unless a period is settled, with the hours that are metered of it now.

    Raises:
        Refusal: ``statements_open``.
    """
    is_open = not chain or any(known.status != "accepted" for known in chain)
    if is_open or chain[-1].hours_metered != hours:
        raise Refusal(
            "statements_open",
            f"statement {period.statement_id} of service line {line_id} is not settled, or the hours of its"
            " period have changed since; wait until it, or its adjustment, is settled",
            statement_id=period.statement_id,
        )


def price_amount(bill: Grant, statement: Statement, amount: Decimal | int) -> Charges:
    """Return the charges of an amount of a statement, in the unit of the statement.

    Args:
        bill: The statement's grant; for a service line, what `build_bill` returns.
        statement: The statement, which is not a credit.
        amount: GPU-seconds; hours of a service line.
    """
    issued = statement.issued
    assert isinstance(issued, StatementIssued), "a credit is never disputed"
    tariff = build_tariff(bill.issued)
    if issued.service_line_id is None:
        return compute_charges(tariff, issued.gpu_seconds_before, int(amount))
    return compute_service_charges(tariff, issued.hours_before, Decimal(amount))
