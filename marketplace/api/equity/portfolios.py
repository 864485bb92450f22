"""Portfolios of holders: positions in every issuer, and what must succeed for them to be paid back."""

from typing import Annotated, Final

from litestar import Router, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from marketplace.api.http.bodies.cap_tables import AskRecoveryBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.queries import OptionalInstantText, Read, parse_instant
from marketplace.application.equity.portfolios import load_portfolio, parse_prices
from marketplace.application.steps.access import require_tenant
from marketplace.captable.portfolio import Portfolio, Recovery, ask_recovery
from marketplace.captable.positions import Prices
from marketplace.equity.recovery import Assumptions

PriceList = Annotated[
    str | None,
    QueryParameter(
        min_length=1, max_length=2_000, description="USD per GPU-hour by class, for example H100_SXM:2.99,A100:1.10"
    ),
]


@get("/{party_id:str}/portfolio", operation_id="parties.get_portfolio", summary="Read a holder's portfolio")
async def read_portfolio(
    reader: Read,
    party_id: FromPath[str],
    *,
    at: OptionalInstantText = None,
    retail: PriceList = None,
    own_cost: PriceList = None,
) -> Portfolio:
    """Return the party's positions with cost, mark and multiples, concentration, and exposure to providers."""
    reader.narrow(party_id)
    instant = reader.now if at is None else parse_instant(at, "/at")
    prices = Prices(parse_prices(retail, "/retail"), parse_prices(own_cost, "/own_cost"))
    async with reader.connect() as connection:
        return await load_portfolio(connection, reader.services.handler.histories, party_id, at=instant, prices=prices)


@post(
    "/{party_id:str}/portfolio/recovery",
    status_code=200,
    operation_id="parties.estimate_recovery",
    summary="Estimate the recovery of granted compute",
)
async def read_recovery(command: Commanded, party_id: FromPath[str], data: JSONBody[AskRecoveryBody]) -> Recovery:
    """Return which part of the companies must succeed, by multiple and cost, and a seeded simulation of portfolios."""
    require_tenant(command.context, party_id)
    assumptions = Assumptions(
        success_part=data.success_part,
        multiple=data.multiple,
        cost_per_granted_usd=data.cost_per_granted_usd,
        grants=data.grants,
        trials=data.trials,
        seed=data.seed,
    )
    return ask_recovery(assumptions, data.multiples, data.costs_per_granted_usd)


ROUTER: Final = Router(
    "/v1/parties", route_handlers=[read_portfolio, read_recovery], tags=["parties"], opt={"feature": "parties"}
)
