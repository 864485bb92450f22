"""A holder's portfolio: positions with cost, mark and multiple, and where the exposure lies."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

from litestar import Router, get
from litestar.params import FromQuery
from litestar.response import Template

from marketplace.captable.portfolio import ConcentrationLine, Portfolio
from marketplace.captable.positions import NO_VENDOR
from marketplace.console.desk import Desked
from marketplace.console.forms import parse_local

_DIMENSIONS: Final = {
    "issuer": "Company",
    "sector": "Sector",
    "gpu_vendor": "GPU vendor",
    "instrument": "Instrument",
    "provider": "Provider",
}


@get("/")
async def show(desk: Desked, party_id: FromQuery[str | None] = None, at: FromQuery[str | None] = None) -> Template:
    """Show the portfolio of the party; the platform names a party."""
    holder_id = party_id or desk.party_id
    portfolio = await desk.client.parties.get_portfolio(holder_id, at=parse_local(at))
    holder = desk.party.name if desk.party is not None and desk.party.party_id == holder_id else holder_id
    if desk.party is None and desk.principal.allows("parties:read"):
        holder = (await desk.client.parties.get(holder_id)).name
    return desk.show(
        "equity/portfolio.html",
        live="aggregate=instrument&aggregate=issuer&aggregate=mandate&aggregate=statement",
        portfolio=portfolio,
        holder=holder,
        at=at,
        exposure=group_exposure(portfolio, await desk.load_names(line.name for line in portfolio.concentration)),
        multiples={
            line.instrument_id: _divide(line.mark_usd + line.distributed_usd, line.cost_usd)
            for line in portfolio.positions
        },
    )


def group_exposure(
    portfolio: Portfolio, providers: Mapping[str, str]
) -> Mapping[str, Sequence[tuple[str, ConcentrationLine]]]:
    """Return the exposure by dimension, each line with a name that a person reads.

    A position that was paid in cash depends on no provider. Those have one line, as they have by GPU vendor.
    """
    names = dict(providers) | {line.issuer_id: line.issuer_name for line in portfolio.positions}
    lines = sorted([*portfolio.concentration, *_sum_cash(portfolio)], key=lambda line: -line.exposure_usd)
    return {
        title: [(names.get(line.name, line.name), line) for line in lines if line.dimension == dimension]
        for dimension, title in _DIMENSIONS.items()
    }


def _sum_cash(portfolio: Portfolio) -> Iterator[ConcentrationLine]:
    cash = sum((one.mark_usd + one.undrawn_usd for one in portfolio.positions if one.provider_id is None), Decimal(0))
    if cash:
        part = cash / (portfolio.sums.mark_usd + portfolio.sums.undrawn_usd)
        yield ConcentrationLine(dimension="provider", name=NO_VENDOR, exposure_usd=cash, part=part)


def _divide(value: Decimal, cost: Decimal) -> Decimal | None:
    return value / cost if cost else None


ROUTER: Final = Router("/portfolio", route_handlers=[show])
