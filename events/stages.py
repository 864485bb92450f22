"""Stages: cash that is set aside stage by stage, ahead of delivery, in place of all of it at the match."""

import msgspec

from events.types import Id, RunHours, Usd


class StageTerms(msgspec.Struct, frozen=True, kw_only=True):
    """How the cash of a run is set aside: the security and the first stage at the match, each later stage as it begins.

    Attributes:
        hours: Length of a stage. The last one may be shorter.
        security_hours: The hours that are set aside ahead of the stages: the last ones of the run, paid at the match.
    """

    hours: RunHours
    security_hours: RunHours


class CreditTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Credit of a provider for a staged order: so much of its cash is not set aside, and paid by accepted statements.

    Attributes:
        provider_id: Who bears the risk; only its own lots serve the order.
        amount_usd: How much of the startup's credit limit with it the order takes at most.
    """

    provider_id: Id
    amount_usd: Usd
