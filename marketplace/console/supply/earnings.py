"""What a provider earned, per month and per grant, its reliability, and its bonds with the claims on them."""

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

from litestar import Response, Router, get, post
from litestar.params import FromPath
from litestar.response import Template
from msgspec.structs import asdict

from marketplace.api.http.bodies.bonds import AnswerClaimBody, PostBondBody, ReleaseBondBody
from marketplace.console.desk import Desked, attempt, collect
from marketplace.console.forms import Filed

PATH: Final = "/console/earnings"
_MONTHS: Final = 12


@get("/")
async def show(desk: Desked) -> Template:
    """Show the last twelve months."""
    own = desk.party_id
    since = _go_back(desk.now, _MONTHS - 1)
    earned, bonds, claims, reliability = await asyncio.gather(
        desk.client.statements.sum_earnings(start=since, end=desk.now),
        attempt(collect(desk.client.bonds.list(party_id=own)), []),
        attempt(collect(desk.client.bonds.list_claims(party_id=own)), []),
        attempt(desk.client.market.get_reliability(own), None),
    )
    return desk.show(
        "supply/earnings.html",
        live="aggregate=statement&aggregate=bond",
        earned=earned,
        reliability=reliability,
        bonds=bonds,
        claims=sorted(claims, key=lambda one: one.claimed_at, reverse=True),
        may_hold=desk.may("accounts:hold"),
        may_answer=desk.may("bonds:write"),
    )


@post("/bonds")
async def post_bond(desk: Desked, form: Filed) -> Response[Any]:
    """Set money apart, for one lot or for all grants."""
    await desk.client.bonds.post(**asdict(form.read(PostBondBody, party_id=desk.party_id)), key=form.key)
    return desk.go(PATH)


@post("/bonds/{bond_id:str}/release")
async def release_bond(desk: Desked, form: Filed, bond_id: FromPath[str]) -> Response[Any]:
    """Take back what a bond has left."""
    await desk.client.bonds.release(bond_id, lot_id=form.read(ReleaseBondBody).lot_id, key=form.key)
    return desk.go(PATH)


@post("/bonds/{bond_id:str}/claims/{claim_id:str}/answer")
async def answer_claim(desk: Desked, form: Filed, bond_id: FromPath[str], claim_id: FromPath[str]) -> Response[Any]:
    """Concede or contest a claim."""
    body = form.read(AnswerClaimBody)
    await desk.client.bonds.answer_claim(
        bond_id, claim_id, reason=body.reason, amount_usd=body.amount_usd, key=form.key
    )
    return desk.go(PATH)


def _go_back(at: datetime, months: int) -> datetime:
    """Return the first instant of a month some months ago."""
    at = at.astimezone(UTC)
    count = at.year * 12 + at.month - 1 - months
    return datetime(count // 12, count % 12 + 1, 1, tzinfo=UTC)


ROUTER: Final = Router("/earnings", route_handlers=[show, post_bond, release_bond, answer_claim])
