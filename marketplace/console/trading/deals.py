"""What the parties of a grant do beside its delivery: transfer, resale, claims on the bond, and service lines."""

from typing import Any, Final, NamedTuple

from litestar import Response, Router, post
from litestar.params import FromPath
from msgspec.structs import asdict

from marketplace.api.http.bodies.bonds import ClaimBody
from marketplace.api.http.bodies.delivery import TransferGrantBody
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.bodies.service_lines import ProposeServiceLineBody
from marketplace.api.http.bodies.supply import ResellGrantBody
from marketplace.console.desk import Desk, Desked, attempt, collect
from marketplace.console.forms import Filed, refuse_act
from marketplace.projections.views.billing import ClaimView, ServiceLineView
from marketplace.projections.views.delivery import GrantView

PATH: Final = "/console/grants"


class Deals(NamedTuple):
    """A grant's claims and service lines, as far as the key sees them; of a line, what it may do with it."""

    claims: list[ClaimView]
    lines: list[tuple[ServiceLineView, set[str]]]


async def load_deals(desk: Desk, grant: GrantView) -> Deals:
    """Return a grant's claims and service lines, the latest first."""
    whose = None if desk.principal.party_id else grant.payer_id
    found = await attempt(collect(desk.client.bonds.list_claims(party_id=whose)), list[ClaimView]())
    claims = sorted((one for one in found if one.grant_id == grant.grant_id), key=lambda one: one.claimed_at)
    lines = await collect(desk.client.service_lines.list(grant_id=grant.grant_id))
    return Deals(claims[::-1], [(one, list_answers(desk, one)) for one in reversed(lines)])


def list_answers(desk: Desk, line: ServiceLineView) -> set[str]:
    """Return what the key may do with a service line now."""
    own = desk.principal.party_id
    if own is None or line.status != "proposed" or not desk.may("grants:write"):
        return set()
    waits = line.holder_id is not None and line.approved_at is None
    acts = {"decline"} if own in {line.startup_id, line.provider_id, line.holder_id} else set()
    acts |= {"approve"} if own == line.holder_id and waits else set()
    return acts | ({"agree"} if own == line.startup_id and not waits else set())


@post("/{grant_id:str}/transfer")
async def transfer(desk: Desked, form: Filed, grant_id: FromPath[str]) -> Response[Any]:
    """Let another startup use the capacity."""
    form.require_confirmation()
    await desk.client.grants.transfer(grant_id, startup_id=form.read(TransferGrantBody).startup_id, key=form.key)
    return desk.go(f"{PATH}/{grant_id}")


@post("/{grant_id:str}/resell")
async def resell(desk: Desked, form: Filed, grant_id: FromPath[str]) -> Response[Any]:
    """Offer unused nodes in the next auctions; the lot is then a lot like any other."""
    receipt = await desk.client.grants.resell(grant_id, **asdict(form.read(ResellGrantBody)), key=form.key)
    return desk.go(f"/console/supply/lots/{receipt.id}")


@post("/{grant_id:str}/claim")
async def claim(desk: Desked, form: Filed, grant_id: FromPath[str]) -> Response[Any]:
    """Claim on the provider's bond for hours that were not delivered."""
    await desk.client.bonds.claim(grant_id, **asdict(form.read(ClaimBody)), key=form.key)
    return desk.go(f"{PATH}/{grant_id}#claims")


@post("/{grant_id:str}/lines")
async def propose_line(desk: Desked, form: Filed, grant_id: FromPath[str]) -> Response[Any]:
    """Propose work for the startup, as the provider."""
    await desk.client.service_lines.propose(
        **asdict(form.read(ProposeServiceLineBody, grant_id=grant_id)), key=form.key
    )
    return desk.go(f"{PATH}/{grant_id}#lines")


@post("/{grant_id:str}/lines/{line_id:str}/{act:str}")
async def answer_line(
    desk: Desked, form: Filed, grant_id: FromPath[str], line_id: FromPath[str], act: FromPath[str]
) -> Response[Any]:
    """Agree to a service line, as the startup; approve its equity part, as the holder; decline or withdraw it."""
    if act == "agree":
        await desk.client.service_lines.agree(line_id, key=form.key)
    elif act == "approve":
        await desk.client.service_lines.approve(line_id, key=form.key)
    elif act == "decline":
        await desk.client.service_lines.decline(line_id, reason=form.read(ReasonBody).reason, key=form.key)
    else:
        raise refuse_act(act, "service line")
    return desk.go(f"{PATH}/{grant_id}#lines")


ROUTER: Final = Router("/grants", route_handlers=[transfer, resell, claim, propose_line, answer_line])
