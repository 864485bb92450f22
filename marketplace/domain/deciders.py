"""Every decider by the aggregate's noun."""

from typing import Any, Final

from marketplace.core.decider import Decider
from marketplace.domain.account import ACCOUNT
from marketplace.domain.auction import AUCTION
from marketplace.domain.clock import CLOCK
from marketplace.domain.command import COMMAND
from marketplace.domain.grant import GRANT
from marketplace.domain.instrument import INSTRUMENT
from marketplace.domain.issuer import ISSUER
from marketplace.domain.log import LOG
from marketplace.domain.lot import LOT
from marketplace.domain.mandate import MANDATE
from marketplace.domain.order import ORDER
from marketplace.domain.party import PARTY
from marketplace.domain.pool import POOL
from marketplace.domain.pricelist import PRICELIST
from marketplace.domain.quote import QUOTE
from marketplace.domain.service_line import SERVICE_LINE
from marketplace.domain.site import SITE
from marketplace.domain.statement import STATEMENT
from marketplace.domain.usage import USAGE

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
