"""What a provider earned, per month and per grant, its reliability, and its bonds with the claims on them."""

import asyncio
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from litestar import Response, Router, get, post
from litestar.params import FromPath
from litestar.response import Template

from marketplace.api.http.bodies.bonds import AnswerClaimBody, PostBondBody, ReleaseBondBody
from marketplace.console.desk import Desked, attempt, collect
from marketplace.console.forms import Filed
from marketplace.projections.views.billing import StatementView

PATH: Final = "/console/earnings"
_MONTHS: Final = 12
_MOMENT: Final = timedelta(microseconds=1)


class Earned(NamedTuple):
    """What statements came to, of a month or of a grant; `waiting_usd` is of those that are not accepted yet."""

    name: str
    gpu_seconds: int
    earned_usd: Decimal
    credited_usd: Decimal
    waiting_usd: Decimal


@get("/")
async def show(desk: Desked) -> Template:
    """Show the last twelve months."""
    own = desk.party_id
    since = _go_back(desk.now, _MONTHS - 1)
    rows = desk.client.list_statements(party_id=own, order="newest", created_from=since)
    listed, bonds, claims, reliability = await asyncio.gather(
        collect(rows),
        attempt(collect(desk.client.list_bonds(party_id=own)), []),
        attempt(collect(desk.client.list_claims(party_id=own)), []),
        attempt(desk.client.get_reliability(own), None),
    )
    statements = [one for one in listed if one.provider_id == own]
    return desk.show(
        "supply/earnings.html",
        live="aggregate=statement&aggregate=bond",
        months=_sum_by([(f"{one.period_end.astimezone(UTC) - _MOMENT:%Y-%m}", one) for one in statements]),
        grants=_sum_by([(one.grant_id, one) for one in statements]),
        total=next(iter(_sum_by([("all", one) for one in statements])), Earned("all", 0, *[Decimal(0)] * 3)),
        reliability=reliability,
        bonds=bonds,
        claims=sorted(claims, key=lambda one: one.claimed_at, reverse=True),
        may_hold=desk.may("accounts:hold"),
        may_answer=desk.may("bonds:write"),
    )


@post("/bonds")
async def post_bond(desk: Desked, form: Filed) -> Response[Any]:
    """Set money apart, for one lot or for all grants."""
    await desk.client.post_bond(form.read(PostBondBody, party_id=desk.party_id), key=form.key)
    return desk.go(PATH)


@post("/bonds/{bond_id:str}/release")
async def release_bond(desk: Desked, form: Filed, bond_id: FromPath[str]) -> Response[Any]:
    """Take back what a bond has left."""
    await desk.client.release_bond(bond_id, lot_id=form.read(ReleaseBondBody).lot_id, key=form.key)
    return desk.go(PATH)


@post("/bonds/{bond_id:str}/claims/{claim_id:str}/answer")
async def answer_claim(desk: Desked, form: Filed, bond_id: FromPath[str], claim_id: FromPath[str]) -> Response[Any]:
    """Concede or contest a claim."""
    body = form.read(AnswerClaimBody)
    await desk.client.answer_claim(bond_id, claim_id, body.reason, amount_usd=body.amount_usd, key=form.key)
    return desk.go(PATH)


def _go_back(at: datetime, months: int) -> datetime:
    """Return the first instant of a month some months ago."""
    at = at.astimezone(UTC)
    count = at.year * 12 + at.month - 1 - months
    return datetime(count // 12, count % 12 + 1, 1, tzinfo=UTC)


def _sum_by(rows: list[tuple[str, StatementView]]) -> list[Earned]:
    """Return the sums of statements with the same name, in the order in which the names appear."""
    grouped: dict[str, list[StatementView]] = defaultdict(list)
    for name, statement in rows:
        grouped[name].append(statement)
    return [
        Earned(
            name,
            sum(one.gpu_seconds_net for one in own),
            sum((compute_earned(one) for one in own), Decimal(0)),
            sum((one.service_credit.provider_usd for one in own if one.service_credit is not None), Decimal(0)),
            sum((_compute_waiting(one) for one in own), Decimal(0)),
        )
        for name, own in grouped.items()
    ]


def compute_earned(statement: StatementView) -> Decimal:
    """Return what the provider got for a statement so far, after fees and service credits; negative for a credit."""
    charges, credit = statement.charges, statement.service_credit
    net = charges.provider_usd - charges.provider_fee_usd
    back = Decimal(0) if credit is None else credit.provider_usd - credit.provider_fee_usd
    if statement.status == "accepted":
        return net - back
    if statement.status == "credited":
        return back - net
    if statement.settled is not None:
        return statement.settled.provider_usd - statement.settled.provider_fee_usd
    return Decimal(0)


def _compute_waiting(statement: StatementView) -> Decimal:
    if statement.status in {"accepted", "credited"}:
        return Decimal(0)
    return statement.charges.provider_usd - statement.charges.provider_fee_usd - compute_earned(statement)


ROUTER: Final = Router("/earnings", route_handlers=[show, post_bond, release_bond, answer_claim])
