"""Price lists: the platform imports dated tables of other clouds' prices."""

import hashlib

import msgspec

from events.pricelist import ListPrice
from marketplace.application.steps.access import require_platform
from marketplace.core.ids import derive_command_id, derive_id
from marketplace.domain.supply.pricelist import PRICELIST, PublishPricelist
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def publish_pricelist(handler: Handler, context: Context, *, name: str, prices: tuple[ListPrice, ...]) -> Receipt:
    """Import a table, as the platform. A table with the same content is imported once.

    Raises:
        Refusal: ``platform_only`` · refusals of the table.
    """
    require_platform(context)
    digest = hashlib.sha256(msgspec.json.encode([name, prices])).hexdigest()
    pricelist_id = derive_id("prl", derive_command_id("pricelist", digest))

    async def work(unit: UnitOfWork) -> None:
        command = PublishPricelist(pricelist_id=pricelist_id, name=name, prices=prices)
        await unit.decide(PRICELIST, pricelist_id, command)

    return await handler.run(context, PRICELIST, pricelist_id, work)
