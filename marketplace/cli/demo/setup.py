"""Before the market opens: parties with money and keys, supply, mandates, and the startups' cap tables."""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from events.mandate import MandateTerms
from events.types import Role, StakeholderKind
from marketplace.cli.demo.play import Play, name_mandate
from marketplace.cli.scenario.capital import Mandate, Startup
from marketplace.cli.scenario.supply import Lot, Pool, Site
from marketplace.cli.scenario.words import Organisation
from marketplace.core.ids import rename_id

PAR_USD: Final = Decimal("0.0001")


async def set_up(play: Play, say: Callable[[str], None]) -> None:
    """Create everything in the market, in order of dependency."""
    scenario = play.scenario
    say("Registering parties …")
    await play.each(scenario.providers, lambda provider: _register(play, provider, "provider", None, None))
    await play.each(scenario.funds, lambda fund: _register(play, fund, "fund", fund.deposit_usd, None))
    await play.each(scenario.startups, lambda one: _register(play, one, "startup", one.deposit_usd, one.sector))
    say("Forming issuers …")
    await play.each(scenario.startups, lambda startup: _form(play, startup))
    say("Granting mandates …")
    await play.each(scenario.mandates, lambda mandate: _grant(play, mandate))
    say("Opening sites, pools and lots …")
    await play.each(scenario.sites, lambda site: _register_site(play, site))
    await play.each(scenario.pools, lambda pool: _open_pool(play, pool))
    for lot in scenario.lots:
        await _list_lot(play, lot)


async def _register(
    play: Play, organisation: Organisation, role: Role, deposit_usd: Decimal | None, sector: str | None
) -> None:
    platform = play.platform
    party_id = (
        await platform.parties.register(
            name=organisation.name, roles=(role,), jurisdiction=organisation.jurisdiction, sector=sector
        )
    ).id
    await platform.parties.clear(party_id, checks=("identity", "sanctions"))
    if deposit_usd:
        await platform.accounts.deposit(
            rename_id("acc", party_id), amount_usd=deposit_usd, reference=f"wire of {organisation.key}"
        )
    key = await platform.api_keys.issue(name=organisation.key, scopes=("*",), party_id=party_id)
    play.ids[organisation.key] = party_id
    play.names[party_id] = organisation.key
    play.enter(organisation.key, key.token)


def _find_kind(stakeholder: str) -> StakeholderKind:
    words = stakeholder.lower()
    return "founder" if "founder" in words else "employee" if "employee" in words else "investor"


async def _form(play: Play, startup: Startup) -> None:
    client = play.client(startup.key)
    formed_on = play.first_day.date().replace(year=play.first_day.year - 2, day=1)
    issuer_id = (
        await client.issuers.form(
            party_id=play.ids[startup.key],
            legal_name=startup.name,
            jurisdiction=startup.jurisdiction,
            formed_on=formed_on,
        )
    ).id
    prices: dict[str, Decimal] = {}
    for rank, one in enumerate(startup.stock_classes):
        prices[one.key] = one.original_issue_price_usd or PAR_USD
        await client.issuers.create_stock_class(
            issuer_id,
            class_id=one.key,
            kind=one.kind,
            shares_authorised=one.shares_authorised,
            price_per_share_usd=one.original_issue_price_usd,
            liquidation_multiple=one.liquidation_multiple,
            seniority=rank if one.kind == "preferred" else 0,
        )
    holders: dict[str, str] = {}
    for holding in startup.holdings:
        if holding.stakeholder not in holders:
            await client.issuers.add_stakeholder(
                issuer_id, name=holding.stakeholder, kind=_find_kind(holding.stakeholder)
            )
            added = await _find_holder(play, startup.key, issuer_id, holding.stakeholder)
            holders[holding.stakeholder] = added
        await client.stock.issue(
            issuer_id,
            holder_id=holders[holding.stakeholder],
            class_id=holding.stock_class,
            shares=holding.shares,
            price_usd_per_share=prices[holding.stock_class],
        )
    await client.issuers.adjust_stock_plan(issuer_id, shares_reserved=startup.pool_shares_reserved)


async def _find_holder(play: Play, key: str, issuer_id: str, name: str) -> str:
    async for stakeholder in play.client(key).issuers.list_stakeholders(issuer_id):
        if stakeholder.name == name:
            return stakeholder.holder_id
    raise AssertionError(f"{name} was added")


async def _grant(play: Play, mandate: Mandate) -> None:
    terms = MandateTerms(
        instrument_kinds=mandate.instrument_kinds,
        equity_credit=mandate.equity_credit,
        budget_usd=mandate.budget_usd,
        issuer_usd_max=mandate.issuer_usd_max,
        valuation_cap_usd_min=mandate.valuation_cap_usd_min,
        valuation_cap_usd_max=mandate.valuation_cap_usd_max,
        sectors=mandate.sectors,
        uncapped=mandate.valuation_cap_usd_min is None and mandate.valuation_cap_usd_max is None,
        resale=True,
        startup_accepts_alone=True,
    )
    play.ids[name_mandate(mandate.key)] = (
        await play.client(mandate.holder).mandates.grant(
            holder_id=play.ids[mandate.holder], funding=mandate.funding, terms=terms
        )
    ).id


async def _register_site(play: Play, site: Site) -> None:
    client = play.client(site.provider)
    play.ids[site.key] = (
        await client.sites.register(
            provider_id=play.ids[site.provider],
            name=site.name,
            region=site.region,
            jurisdiction=site.jurisdiction,
            status=site.status,
            power_contracted_kw=site.power_contracted_kw,
            power_energised_kw=site.power_energised_kw,
            power_usage_effectiveness=site.power_usage_effectiveness,
            renewable_share=site.renewable_share,
        )
    ).id
    if site.conversion is not None:
        await client.sites.schedule_conversion(
            play.ids[site.key], former_use=site.conversion.former_use, ready_at=play.day(site.conversion.ready_day)
        )


async def _open_pool(play: Play, pool: Pool) -> None:
    site = next(site for site in play.scenario.sites if site.key == pool.site)
    play.ids[pool.key] = (
        await play.client(site.provider).pools.open(
            site_id=play.ids[pool.site],
            gpu_class=pool.gpu_class,
            interconnect=pool.interconnect,
            gpus_per_node=pool.gpus_per_node,
            nodes=pool.nodes,
            power_per_node_kw=pool.power_per_node_kw,
        )
    ).id
    play.names[play.ids[pool.key]] = pool.key


async def _list_lot(play: Play, lot: Lot) -> None:
    pool = next(pool for pool in play.scenario.pools if pool.key == lot.pool)
    site = next(site for site in play.scenario.sites if site.key == pool.site)
    receipt = await play.client(site.provider).lots.offer(
        pool_id=play.ids[lot.pool],
        nodes=lot.nodes,
        start=play.day(lot.from_day),
        end=play.day(lot.to_day),
        ask_usd_per_gpu_hour=lot.ask_usd_per_gpu_hour,
        nodes_min=lot.nodes_min,
        duration_hours_min=lot.duration_hours_min,
        mandate_ids=tuple(play.ids[name_mandate(key)] for key in lot.mandates),
    )
    play.ids[lot.key] = receipt.id
    play.names[receipt.id] = lot.key
