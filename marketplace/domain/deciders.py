"""Every decider by the aggregate's noun."""

from typing import Any, Final

from marketplace.core.decider import Decider
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.service_line import SERVICE_LINE
from marketplace.domain.billing.statement import STATEMENT
from marketplace.domain.clock import CLOCK
from marketplace.domain.command import COMMAND
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.log import LOG
from marketplace.domain.metering.usage import USAGE
from marketplace.domain.party import PARTY
from marketplace.domain.supply.lot import LOT
from marketplace.domain.supply.pool import POOL
from marketplace.domain.supply.pricelist import PRICELIST
from marketplace.domain.supply.site import SITE
from marketplace.domain.trading.auction import AUCTION
from marketplace.domain.trading.mandate import MANDATE
from marketplace.domain.trading.order import ORDER
from marketplace.domain.trading.quote import QUOTE

DECIDERS: Final[dict[str, Decider[Any, Any, Any]]] = {
    decider.aggregate: decider
    for decider in (
        PARTY,
        SITE,
        POOL,
        LOT,
        MANDATE,
        ORDER,
        QUOTE,
        AUCTION,
        GRANT,
        USAGE,
        STATEMENT,
        SERVICE_LINE,
        ACCOUNT,
        INSTRUMENT,
        ISSUER,
        PRICELIST,
        CLOCK,
        LOG,
        COMMAND,
    )
}
