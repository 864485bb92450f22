"""Vesting, transfer and exercise of warrants.

What vests is checked when delivery is accepted or credited, on a date, when a price becomes known, when a milestone is
attested or purchases are stated, and at an exercise. The rules are those of `milestones`. Options vest by date alone
(`domain/equity/issuer/rights/vesting.py`), and no event records it.
"""

from datetime import datetime, timedelta
from fractions import Fraction
from typing import TypedDict

from msgspec import structs

from marketplace.application.steps.statement_chain import find_chain
from marketplace.application.steps.stock_agreements import name_receivers
from marketplace.core.money import parse_ratio
from marketplace.domain.delivery.grant import GRANT, OPEN, Grant
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.rights.fair_value import find_interested, require_fair_value
from marketplace.domain.equity.issuer.rights.milestones import is_open, list_counted_grants
from marketplace.domain.equity.issuer.rights_commands import Delivery, ExerciseWarrant, TransferWarrant, VestWarrants
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.refusals import require_found
from marketplace.domain.register import REGISTER, REGISTER_ID, list_sides
from marketplace.domain.supply.pool import POOL
from marketplace.execution.unit_of_work import UnitOfWork


class Vesting(TypedDict):
    """What decides what vests of an issuer's warrants; see `VestWarrants`."""

    delivered: dict[str, Delivery]
    interested: dict[str, frozenset[str]]


async def load_vesting(unit: UnitOfWork, issuer_id: str) -> Vesting:
    """Return what decides what vests of an issuer's warrants."""
    issuer = await unit.get(ISSUER, issuer_id, Issuer)
    return {"delivered": await count_delivered(unit, issuer), "interested": await list_interested(unit, issuer)}


async def vest(unit: UnitOfWork, issuer_id: str) -> None:
    """Record what vests, is released, priced or clawed back of the issuer's warrants by now."""
    issuer = await unit.load(ISSUER, issuer_id)
    if not isinstance(issuer, Issuer) or not any(is_open(warrant) for warrant in issuer.warrants.values()):
        return
    command = VestWarrants(issuer_id=issuer_id, at=unit.context.at, **await load_vesting(unit, issuer_id))
    await unit.decide(ISSUER, issuer_id, command)


async def list_interested(unit: UnitOfWork, issuer: Issuer) -> dict[str, frozenset[str]]:
    """Return, by warrant, whose prices alone do not count for it, by the register as it is now."""
    register = await unit.load(REGISTER, REGISTER_ID)
    company_id = issuer.formed.party_id
    return {name: find_interested(warrant, company_id, register) for name, warrant in issuer.warrants.items()}


async def count_delivered(unit: UnitOfWork, issuer: Issuer) -> dict[str, Delivery]:
    """Return what was accepted, less credits, under each grant that the issuer's warrants count.

    A grant among related parties counts in no milestone. If its seller alone states the relation, it counts in none of
    the seller's warrants.
    """
    found = {}
    for grant_id in list_counted_grants(issuer):
        grant = await unit.load(GRANT, grant_id)
        if grant is not None and grant.mark != "related":
            found[grant_id] = await count_accepted(unit, grant)
    return found


async def count_accepted(unit: UnitOfWork, grant: Grant) -> Delivery:
    """Return what was accepted, less credits, under a grant."""
    issued = grant.issued
    gpu_seconds, paid = 0, Fraction(0)
    for period in list_periods(grant):
        for known in await find_chain(unit, period):
            if known.status == "accepted":
                gpu_seconds += known.sign * known.charges.gpu_seconds
                paid += known.sign * Fraction(known.charges.provider_usd - known.charges.reseller_pays_usd)
    pool = await unit.load(POOL, issued.pool_id)
    gpus = issued.nodes * issued.gpus_per_node
    hours = Fraction((issued.end - issued.start) // timedelta(microseconds=1), 3_600_000_000)
    price = parse_ratio(issued.price_usd_per_gpu_hour)
    if issued.resale is not None:
        price = min(price, parse_ratio(issued.resale.owed_usd_per_gpu_hour))
    return Delivery(
        gpu_seconds=gpu_seconds,
        customer_id=issued.startup_id,
        pool_id=issued.pool_id,
        span=(issued.start, grant.end),
        named_by=list_sides(issued).seller_ids if grant.mark == "named" else (),
        gpus=gpus,
        kilowatts=0 if pool is None else issued.nodes * pool.opened.power_per_node_kw,
        purchased_usd=price * gpus * hours if grant.status in OPEN else paid,
        paid_usd=paid,
    )


async def hand_over(unit: UnitOfWork, command: TransferWarrant) -> None:
    """Transfer a whole warrant to an affiliate of its first holder, by the register as it is now, or back.

    Raises:
        Refusal: Refusals of the issuer.
    """
    issuer = await unit.get(ISSUER, command.issuer_id, Issuer)
    warrant = issuer.warrants.get(command.warrant_id)
    if warrant is not None:
        register = await unit.load(REGISTER, REGISTER_ID)
        relation = register.find_state(warrant.first_holder_id, command.holder_id_after)
        command = structs.replace(command, relation=relation)
    await name_receivers(unit, command)
    await unit.decide(ISSUER, command.issuer_id, command)


async def exercise(
    unit: UnitOfWork,
    issuer_id: str,
    *,
    exercise_id: str,
    warrant_id: str,
    shares: int,
    net: bool,
    at: datetime,
    tranche: int | None = None,
) -> None:
    """Exercise `shares` rights of a warrant, as of `at`: for cash or, if `net`, at the fair value of a share.

    `tranche` limits it to one tranche, from 0.

    Raises:
        Refusal: ``warrant_unknown`` · ``fair_value_missing`` · refusals of the issuer.
    """
    issuer = await unit.get(ISSUER, issuer_id, Issuer)
    warrant = require_found("warrant", warrant_id, issuer.warrants.get(warrant_id))
    interested = (await list_interested(unit, issuer))[warrant_id]
    fair = require_fair_value(issuer, warrant, interested, at.date()) if net else None
    command = ExerciseWarrant(
        issuer_id=issuer_id,
        exercise_id=exercise_id,
        warrant_id=warrant_id,
        shares=shares,
        tranche=tranche,
        fair_value_usd=None if fair is None else fair.price_usd,
        fair_value_source=None if fair is None else fair.source,
        at=at,
        **await load_vesting(unit, issuer_id),
    )
    await unit.decide(ISSUER, issuer_id, command)
