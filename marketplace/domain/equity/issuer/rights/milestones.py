"""Warrants that vest at milestones: delivered compute, a date, a price, or several of these.

`marketplace.domain.equity.issuer.issuer` documents the order of refusals.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from fractions import Fraction

from events.issuer import IssuerEvent, IssuerWarrantVested
from events.vesting import DateMilestone, DeliveryMilestone, Milestone, PriceMilestone, WarrantTranche
from marketplace.core.errors import Refusal
from marketplace.core.intervals import require_aware
from marketplace.core.money import render_ratio, require_price_per_share
from marketplace.domain.equity.issuer.commands import IssueWarrant, VestWarrants
from marketplace.domain.equity.issuer.rules import require_shares
from marketplace.domain.equity.issuer.state import Issuer, Warrant
from marketplace.equity import warrants as rules


def require_tranches(command: IssueWarrant) -> None:
    """Refuse tranches that do not sum to the warrant, or whose milestones cannot be measured."""
    for index, tranche in enumerate(command.tranches):
        require_shares(tranche.shares, f"/tranches/{index}/shares")
        for milestone in _list_milestones(tranche):
            if isinstance(milestone, PriceMilestone):
                require_price_per_share(milestone.price_usd_per_share, f"/tranches/{index}/conditions")
            elif isinstance(milestone, DeliveryMilestone) and command.grant_id is None:
                raise Refusal(
                    "grant_missing",
                    f"tranche {index} vests by delivered compute; name the grant that is measured",
                    pointer="/grant_id",
                )
    total = sum(tranche.shares for tranche in command.tranches)
    if command.tranches and total != command.shares:
        raise Refusal(
            "tranches_differ",
            f"the tranches sum to {total} shares, but the warrant buys {command.shares}",
            pointer="/tranches",
            shares=command.shares,
            tranches=total,
        )


def _list_milestones(tranche: WarrantTranche) -> list[Milestone]:
    return [milestone for condition in tranche.conditions for milestone in condition]


def vest_warrants(command: VestWarrants, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the tranches that have vested by now and are not recorded."""
    require_aware(command.at, "/at")
    return [
        event
        for warrant_id in sorted(state.warrants)
        for event in list_vested(state, warrant_id, command.delivered_gpu_seconds, command.at)
    ]


def list_vested(
    state: Issuer, warrant_id: str, delivered: Mapping[str, int], at: datetime
) -> list[IssuerWarrantVested]:
    """Return the tranches of a warrant whose conditions hold and that are not recorded."""
    warrant = state.warrants[warrant_id]
    if warrant.expired or at > warrant.issued.expires_at:
        return []
    gpu_seconds = delivered.get(warrant.issued.grant_id or "", 0)
    facts = rules.WarrantFacts(gpu_seconds, at.date(), state.latest_price_usd)
    return [
        IssuerWarrantVested(
            issuer_id=state.formed.issuer_id,
            warrant_id=warrant_id,
            tranche=index,
            shares=warrant.count_tranche(index),
            gpu_seconds=gpu_seconds,
            price_usd_per_share=None if state.latest_price_usd is None else render_ratio(state.latest_price_usd),
        )
        for index, tranche in enumerate(warrant.issued.tranches)
        if index not in warrant.vested and rules.is_met(_build_condition(warrant, tranche), facts)
    ]


def _build_condition(warrant: Warrant, tranche: WarrantTranche) -> rules.Condition:
    return rules.AllOf(
        tuple(rules.AnyOf(tuple(_build(warrant, each) for each in condition)) for condition in tranche.conditions)
    )


def _build(warrant: Warrant, milestone: Milestone) -> rules.Condition:
    match milestone:
        case DeliveryMilestone():
            return rules.DeliveredAtLeast(milestone.gpu_seconds)
        case DateMilestone():
            return rules.OnOrAfter(milestone.day)
        case PriceMilestone():
            level = Fraction(milestone.price_usd_per_share)
            return rules.PriceAtLeast(level / warrant.split)


def list_days(tranches: Iterable[WarrantTranche]) -> set[date]:
    """Return the days on which a part of tranches may vest by date alone."""
    milestones = (milestone for tranche in tranches for milestone in _list_milestones(tranche))
    return {milestone.day for milestone in milestones if isinstance(milestone, DateMilestone)}
