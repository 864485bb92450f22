"""The demand of the scenario: orders sized like public jobs."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta

from events.order import ClassOffer, OrderTerms
from events.types import GpuClass, Nodes, Region, RunHours, SafeTerms, UsdPerGpuHour
from marketplace.cli.scenario.words import DayIndex, Key, Shape


class Offer(Shape, frozen=True, kw_only=True):
    """What an order offers for one GPU class.

    Attributes:
        gpu_class: The class.
        cash_usd_per_gpu_hour: Cash part.
        equity_usd_per_gpu_hour: Principal, before the mandate's credit.
    """

    gpu_class: GpuClass
    cash_usd_per_gpu_hour: UsdPerGpuHour
    equity_usd_per_gpu_hour: UsdPerGpuHour


class Order(Shape, frozen=True, kw_only=True):
    """A request for nodes.

    Attributes:
        key: Its key.
        philly_row: The public job that nodes, duration and window come from.
        startup: Index of the startup in the file of startups.
        nodes: Nodes at every instant.
        duration_hours: Length.
        start_day_earliest: First day that it may begin.
        start_day_latest: Last day that it may begin.
        offer: What it pays with.
        offers: One offer per acceptable class.
        regions: Acceptable regions; none: any.
        infiniband: Whether it needs InfiniBand.
        mandates: Holders that it accepts for the equity part.
    """

    key: Key
    philly_row: str
    startup: Annotated[int, Meta(ge=0)]
    nodes: Nodes
    duration_hours: RunHours
    start_day_earliest: DayIndex
    start_day_latest: DayIndex
    offer: Literal["cash", "equity", "mixed"]
    offers: tuple[Offer, ...]
    regions: tuple[Region, ...]
    infiniband: bool
    mandates: tuple[Key, ...]

    def build_terms(
        self, first_day: datetime, *, gpus_per_node: int, mandate_ids: tuple[str, ...], safe: SafeTerms
    ) -> OrderTerms:
        """Return the order as the market takes it.

        Args:
            first_day: First instant of the horizon.
            gpus_per_node: GPUs of the nodes that it runs on.
            mandate_ids: The market's ids of `mandates`.
            safe: Terms of the equity part, where there is one.
        """
        return OrderTerms(
            nodes=self.nodes,
            gpus_per_node=gpus_per_node,
            duration_hours=self.duration_hours,
            start_earliest=first_day + timedelta(days=self.start_day_earliest),
            start_latest=first_day + timedelta(days=self.start_day_latest),
            offers=tuple(
                ClassOffer(
                    gpu_class=offer.gpu_class,
                    cash_usd_per_gpu_hour=offer.cash_usd_per_gpu_hour,
                    equity_usd_per_gpu_hour=offer.equity_usd_per_gpu_hour,
                )
                for offer in self.offers
            ),
            regions=self.regions,
            interconnect="infiniband" if self.infiniband else "any",
            mandate_ids=mandate_ids,
            instrument=safe if self.mandates else None,
        )
