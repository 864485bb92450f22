"""Every decider that the modules of this package define, by the aggregate's noun, and the prefixes of their ids."""

from typing import Any, Final

from marketplace.core.decider import Decider
from marketplace.core.discovery import find_constants

DECIDERS: Final[dict[str, Decider[Any, Any, Any]]] = {
    decider.aggregate: decider for decider in find_constants("marketplace.domain", Decider)
}
PREFIXES: Final = {aggregate: decider.prefix for aggregate, decider in DECIDERS.items()}
