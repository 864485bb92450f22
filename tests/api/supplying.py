"""A provider's first site and pool, and a party's own key, through the typed client; the same in every story."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

from marketplace.client import MarketplaceClient


async def open_pool(client: MarketplaceClient, provider_id: str, power_kw: int) -> str:
    """Register a site with so much power, open a pool of four nodes of eight H100 on it, and return the pool's id."""
    site = await client.sites.register(
        provider_id=provider_id,
        name="North",
        region="us-east",
        jurisdiction="US",
        status="operating",
        power_contracted_kw=power_kw,
        power_energised_kw=power_kw,
        power_usage_effectiveness=Decimal("1.2"),
        renewable_share=Decimal("0.5"),
    )
    pool = await client.pools.open(
        site_id=site.id,
        gpu_class="H100_SXM",
        interconnect="infiniband",
        gpus_per_node=8,
        nodes=4,
        power_per_node_kw=11,
    )
    return pool.id


@asynccontextmanager
async def acting_for(client: MarketplaceClient, party_id: str) -> AsyncIterator[MarketplaceClient]:
    """Yield a client with a key of a party, for what the platform may not do in its name."""
    token = (await client.api_keys.issue(name="own", scopes=("*",), party_id=party_id)).token
    async with MarketplaceClient("http://test", token, client._http._transport) as own:
        yield own
