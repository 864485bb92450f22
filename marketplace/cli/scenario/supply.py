"""The supply of the scenario: public list prices, sites, pools and lots."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from events.types import Country, GpuClass, Interconnect, Name, Nodes, Region, Share, UsdPerGpuHour
from marketplace.cli.scenario.words import DayIndex, Key, Shape


class ListPrice(Shape, frozen=True, kw_only=True):
    """A public on-demand list price.

    Attributes:
        key: How lots cite it.
        provider: The vendor that published it.
        gpu_class: The class it is for.
        usd_per_gpu_hour: The price.
        quoted: What the text says, in short, before any division by GPUs.
        source: The vendor's page.
        seen_in: The text in which the figure was read.
        date: When that text says it was read or published.
    """

    key: Key
    provider: Name
    gpu_class: GpuClass
    usd_per_gpu_hour: UsdPerGpuHour
    quoted: str
    source: str
    seen_in: str
    date: str


class Conversion(Shape, frozen=True, kw_only=True):
    """A site of another use that becomes a data center, later than first promised.

    Attributes:
        former_use: What it was.
        ready_day: The first date; none of its lots begins earlier.
        slipped_ready_day: The date after the slip.
        slip_reason: Why it slipped.
    """

    former_use: Name
    ready_day: DayIndex
    slipped_ready_day: DayIndex
    slip_reason: str


class Site(Shape, frozen=True, kw_only=True):
    """A data center.

    Attributes:
        key: Its key.
        provider: Its operator.
        name: What people call it.
        region: Market region.
        jurisdiction: Country it stands in.
        status: Its state on the first day.
        power_contracted_kw: Power under contract.
        power_energised_kw: Power that is live on the first day.
        power_usage_effectiveness: PUE.
        renewable_share: Share of its energy that is renewable.
        conversion: Its former use, and when its conversion is ready; None if it operates.
    """

    key: Key
    provider: Key
    name: Name
    region: Region
    jurisdiction: Country
    status: Literal["operating", "converting"]
    power_contracted_kw: Annotated[int, Meta(ge=1)]
    power_energised_kw: Annotated[int, Meta(ge=0)]
    power_usage_effectiveness: Decimal
    renewable_share: Share
    conversion: Conversion | None


class Pool(Shape, frozen=True, kw_only=True):
    """One fabric.

    Attributes:
        key: Its key.
        site: Where it stands.
        gpu_class: Class of its GPUs.
        interconnect: Its fabric.
        gpus_per_node: GPUs of one node.
        nodes: Nodes that exist.
        power_per_node_kw: Draw of one node, rounded up.
    """

    key: Key
    site: Key
    gpu_class: GpuClass
    interconnect: Interconnect
    gpus_per_node: Annotated[int, Meta(ge=1, le=1024)]
    nodes: Nodes
    power_per_node_kw: Annotated[int, Meta(ge=1, le=1000)]


class Lot(Shape, frozen=True, kw_only=True):
    """Nodes of a pool for sale.

    Attributes:
        key: Its key.
        pool: Its pool.
        nodes: Nodes for sale on every day.
        from_day: First day.
        to_day: Day after the last.
        list_price: The list price that its ask is.
        ask_usd_per_gpu_hour: Its ask.
        nodes_min: The smallest order that it serves.
        duration_hours_min: The shortest order that it serves.
        mandates: Mandates that may take the equity part of an order on it; none: cash only.
    """

    key: Key
    pool: Key
    nodes: Nodes
    from_day: DayIndex
    to_day: DayIndex
    list_price: Key
    ask_usd_per_gpu_hour: UsdPerGpuHour
    nodes_min: Nodes
    duration_hours_min: Annotated[int, Meta(ge=1)]
    mandates: tuple[Key, ...]
