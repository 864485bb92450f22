"""What waits for the operator: parties, roles, disputes, approvals and incidents."""

import asyncio
from typing import Any, Final

from litestar import Response, Router, get, post
from litestar.params import FromPath
from litestar.response import Template

from events.account import AccountAct
from marketplace.api.http.bodies.answers import Page
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.bodies.supply import RestoreNodesBody
from marketplace.console.desk import Desked, collect
from marketplace.console.forms import Filed
from marketplace.projections.views.access import PartyView
from marketplace.projections.views.billing import ApprovalView, StatementView
from marketplace.projections.views.supply import IncidentView

_PATH: Final = "/console/queues"
_SHOWN: Final = 50


@get("/")
async def show(desk: Desked) -> Template:
    """Show every queue, the oldest first, at most fifty of each."""
    get_page = desk.client.get
    oldest: dict[str, Any] = {"limit": _SHOWN, "order": "oldest"}
    registered, disputed, approvals, incidents, parties = await asyncio.gather(
        get_page("/v1/parties", Page[PartyView], status="registered", **oldest),
        get_page("/v1/statements", Page[StatementView], status="disputed", **oldest),
        get_page("/v1/approvals", Page[ApprovalView], status="open", **oldest),
        get_page("/v1/pools/incidents", Page[IncidentView], open="true", limit=_SHOWN),
        collect(desk.client.parties.list()),
    )
    asking = [one for one in parties if one.roles_requested and one.status != "registered"]
    ids = {one.party_id for one in approvals.items} | {one.provider_id for one in incidents.items}
    ids |= {one for row in disputed.items for one in (row.startup_id, row.provider_id)}
    return desk.show(
        "operator/queues.html",
        live="aggregate=party&aggregate=account&aggregate=statement&aggregate=grant&aggregate=pool",
        registered=registered.items,
        asking=asking[:_SHOWN],
        disputed=sorted(disputed.items, key=lambda one: one.awaits != "platform"),
        approvals=[(one, name_act(one.act)) for one in approvals.items],
        incidents=incidents.items,
        names=await desk.load_names(ids),
    )


@post("/approvals/{account_id:str}/{approval_id:str}/approve")
async def approve(desk: Desked, form: Filed, account_id: FromPath[str], approval_id: FromPath[str]) -> Response[Any]:
    """Approve as the second person."""
    await desk.client.accounts.approve(account_id, approval_id, key=form.key)
    return desk.go(_PATH)


@post("/approvals/{account_id:str}/{approval_id:str}/refuse")
async def refuse(desk: Desked, form: Filed, account_id: FromPath[str], approval_id: FromPath[str]) -> Response[Any]:
    """Refuse a request for approval."""
    await desk.client.accounts.refuse_approval(
        account_id, approval_id, reason=form.read(ReasonBody).reason, key=form.key
    )
    return desk.go(_PATH)


@post("/incidents/{pool_id:str}/restore")
async def restore(desk: Desked, form: Filed, pool_id: FromPath[str]) -> Response[Any]:
    """Report that the nodes of an incident work again."""
    body = form.read(RestoreNodesBody)
    await desk.client.pools.restore_nodes(pool_id, incident_id=body.incident_id, at=body.at, key=form.key)
    return desk.go(_PATH)


def name_act(act: AccountAct) -> str:
    """Return what an approval is asked for, such as ``withdrawal``."""
    return str(type(act).__struct_config__.tag)


ROUTER: Final = Router("/queues", route_handlers=[show, approve, refuse, restore])
