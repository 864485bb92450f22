"""Terms of a warrant at its issue; `marketplace.domain.equity.issuer.issuer` documents the order of refusals."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

from events.vesting import (
    AmountMilestone,
    AttestedMilestone,
    ChangeOfControl,
    DeliveryMilestone,
    Milestone,
    PowerMilestone,
    PriceAverage,
    PriceMilestone,
    TrancheMilestone,
    WarrantTranche,
)
from marketplace.core.errors import Refusal
from marketplace.core.intervals import require_aware
from marketplace.core.money import require_price_per_share, require_usd
from marketplace.domain.equity.issuer.rights_commands import IssueWarrant
from marketplace.domain.equity.issuer.rules import refuse_missing, require_shares, require_stakeholder
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.refusals import refuse_unknown, require_found

_MULTIPLE_MAX: Final = Decimal(10)


def require_terms(command: IssueWarrant, state: Issuer) -> None:
    """Refuse impossible terms of a warrant: ``programme_unknown`` to ``tranches_differ``, as the issuer lists them."""
    if command.programme_id is not None and command.programme_id not in state.programmes:
        raise refuse_unknown("programme", command.programme_id)
    for affiliate_id in command.affiliate_ids:
        require_stakeholder(state, affiliate_id, "/affiliate_ids")
    _require_change_of_control(command.change_of_control)
    if command.fair_value is not None:
        _require_average(command.fair_value, command, state, "/fair_value")
    for index, tranche in enumerate(command.tranches):
        _require_tranche(tranche, f"/tranches/{index}", command, state)
    _require_reduction(command)
    _require_same_milestones(command.tranches)
    _require_no_cycle(command.tranches)
    total = sum(tranche.shares for tranche in command.tranches)
    if command.tranches and total != command.shares:
        raise Refusal(
            "tranches_differ",
            f"the tranches sum to {total} shares, but the warrant buys {command.shares}",
            pointer="/tranches",
            shares=command.shares,
            tranches=total,
        )


def _require_reduction(command: IssueWarrant) -> None:
    """Refuse tranches that count purchases if `on_reduction` does not say what an unpaid purchase does to them."""
    if command.on_reduction is None and any(counts_purchases(tranche) for tranche in command.tranches):
        raise refuse_missing(
            "on_reduction",
            "claw_back or keep, since a grant may end before it is paid; or count what was paid",
            "",
        )


def counts_purchases(tranche: WarrantTranche) -> bool:
    """Return whether a tranche counts capacity that was ordered, and not only what was paid or delivered."""
    amounts = (each for each in _list_milestones(tranche) if isinstance(each, AmountMilestone))
    proportion = tranche.proportion
    return any(each.basis == "purchased" for each in amounts) or (
        proportion is not None and proportion.basis == "purchased"
    )


def _require_change_of_control(terms: ChangeOfControl | None) -> None:
    if terms is None:
        return
    if (terms.when == "always") != (terms.proceeds_usd is None):
        raise Refusal(
            "threshold_missing" if terms.proceeds_usd is None else "threshold_unexpected",
            f"a warrant that vests at a sale {terms.when} a threshold"
            f" {'needs' if terms.proceeds_usd is None else 'takes no'} proceeds_usd",
            pointer="/change_of_control/proceeds_usd",
        )
    if terms.proceeds_usd is not None:
        require_usd(terms.proceeds_usd, "/change_of_control/proceeds_usd")


def _require_tranche(tranche: WarrantTranche, pointer: str, command: IssueWarrant, state: Issuer) -> None:
    require_shares(tranche.shares, f"{pointer}/shares")
    for milestone in (*_list_milestones(tranche), *_list_milestones(tranche, exercise=True)):
        _require_milestone(milestone, f"{pointer}/conditions", command, state)
    proportion, later = tranche.proportion, tranche.later_price
    if proportion is not None:
        _require_counted(command, pointer)
        require_usd(proportion.from_usd, f"{pointer}/proportion/from_usd", zero=True)
        require_usd(proportion.to_usd, f"{pointer}/proportion/to_usd")
        if proportion.from_usd >= proportion.to_usd:
            raise Refusal(
                "proportion_empty",
                f"{pointer} vests between {proportion.from_usd} and {proportion.to_usd} USD; the second must be more",
                pointer=f"{pointer}/proportion",
            )
    if tranche.exercise_price_usd is not None:
        require_price_per_share(tranche.exercise_price_usd, f"{pointer}/exercise_price_usd", zero=True)
    if later is None:
        return
    if tranche.exercise_price_usd is not None:
        raise Refusal(
            "price_stated_twice",
            f"{pointer} states an exercise price and how it is fixed later; state one of the two",
            pointer=f"{pointer}/later_price",
        )
    _require_index(later.tranche, command.tranches, f"{pointer}/later_price")
    _require_average(later.average, command, state, f"{pointer}/later_price/average")
    if not 0 < later.multiple <= _MULTIPLE_MAX:
        raise Refusal(
            "multiple_out_of_range",
            f"{pointer}/later_price is {later.multiple} of the mean; state more than 0 and at most {_MULTIPLE_MAX}",
            pointer=f"{pointer}/later_price/multiple",
        )


def _list_milestones(tranche: WarrantTranche, *, exercise: bool = False) -> list[Milestone]:
    conditions = tranche.exercise_conditions if exercise else tranche.conditions
    return [milestone for condition in conditions for milestone in condition]


def _require_milestone(milestone: Milestone, pointer: str, command: IssueWarrant, state: Issuer) -> None:
    match milestone:
        case PriceMilestone():
            require_price_per_share(milestone.price_usd_per_share, pointer)
            if milestone.average is not None:
                _require_average(milestone.average, command, state, pointer)
        case DeliveryMilestone() | PowerMilestone():
            _require_counted(command, pointer)
        case AmountMilestone():
            _require_counted(command, pointer)
            require_usd(milestone.amount_usd, pointer)
        case AttestedMilestone():
            _require_attester(milestone, pointer, command, state)
        case TrancheMilestone():
            _require_index(milestone.tranche, _find_tranches(milestone, command, state), pointer)
        case _:
            pass


def _require_attester(milestone: AttestedMilestone, pointer: str, command: IssueWarrant, state: Issuer) -> None:
    if milestone.until is not None:
        require_aware(milestone.until, pointer)
    if milestone.attester_id in _list_interested(command, state):
        raise Refusal(
            "attester_interested",
            f"{milestone.attester_id} would attest milestone {milestone.name} of its own warrant or company; name"
            " another party, or nobody for the platform",
            pointer=pointer,
            attester_id=milestone.attester_id,
        )


def _find_tranches(milestone: TrancheMilestone, command: IssueWarrant, state: Issuer) -> Sequence[WarrantTranche]:
    if milestone.warrant_id is None:
        return command.tranches
    other = require_found("warrant", milestone.warrant_id, state.warrants.get(milestone.warrant_id))
    return other.issued.tranches


def _list_interested(command: IssueWarrant, state: Issuer) -> set[str]:
    return {command.holder_id, *command.affiliate_ids, state.formed.party_id}


def _require_counted(command: IssueWarrant, pointer: str) -> None:
    if not command.grant_ids and command.programme_id is None:
        raise Refusal(
            "grant_missing",
            f"{pointer} vests by what is delivered or paid; name the grants or the programme that is measured",
            pointer="/grant_ids",
        )


def _require_index(index: int, tranches: Sequence[WarrantTranche], pointer: str) -> None:
    if index >= len(tranches):
        raise Refusal(
            "tranche_unknown",
            f"{pointer} names tranche {index}, and the warrant has {len(tranches)}, counted from 0",
            pointer=pointer,
            tranche=index,
        )


def _require_average(terms: PriceAverage, command: IssueWarrant, state: Issuer, pointer: str) -> None:
    source = require_found("price_source", terms.source_id, state.price_sources.get(terms.source_id))
    if source.named.recorder_id in _list_interested(command, state):
        raise Refusal(
            "recorder_interested",
            f"{source.named.recorder_id} records the prices of {terms.source_id} and holds the warrant, or is its"
            " affiliate; name another source",
            pointer=pointer,
            recorder_id=source.named.recorder_id,
        )
    if terms.observations_min > terms.days:
        raise Refusal(
            "average_impossible",
            f"{pointer} needs {terms.observations_min} observations in {terms.days} days; a day has one",
            pointer=pointer,
        )


def _list_attested(tranches: Sequence[WarrantTranche]) -> Iterator[AttestedMilestone]:
    for tranche in tranches:
        for each in (*_list_milestones(tranche), *_list_milestones(tranche, exercise=True)):
            if isinstance(each, AttestedMilestone):
                yield each


def _require_same_milestones(tranches: Sequence[WarrantTranche]) -> None:
    known: dict[str, AttestedMilestone] = {}
    for each in _list_attested(tranches):
        if known.setdefault(each.name, each) != each:
            raise Refusal(
                "milestone_differs",
                f"milestone {each.name} is stated twice with other terms; name one of them otherwise",
                pointer="/tranches",
                milestone=each.name,
            )


def find_attested(tranches: Sequence[WarrantTranche], name: str) -> AttestedMilestone | None:
    """Return the attested milestone of a name, or None."""
    return next((each for each in _list_attested(tranches) if each.name == name), None)


def list_attesters(tranches: Sequence[WarrantTranche]) -> frozenset[str]:
    """Return the parties that attest milestones of a warrant's tranches."""
    return frozenset(each.attester_id for each in _list_attested(tranches) if each.attester_id is not None)


def _require_no_cycle(tranches: Sequence[WarrantTranche]) -> None:
    """Refuse tranches of which one waits for itself, directly or through others."""
    waits = [set(_list_awaited(tranche)) for tranche in tranches]
    for start in range(len(tranches)):
        reached: set[int] = set()
        ahead = set(waits[start])
        while ahead:
            reached |= ahead
            ahead = {each for index in ahead for each in waits[index]} - reached
        if start in reached:
            raise Refusal(
                "tranches_circular",
                f"tranche {start} would vest when tranche {start} has vested, so it never could; change its conditions",
                pointer=f"/tranches/{start}/conditions",
                tranche=start,
            )


def _list_awaited(tranche: WarrantTranche) -> Iterator[int]:
    for milestone in _list_milestones(tranche):
        if isinstance(milestone, TrancheMilestone) and milestone.warrant_id is None:
            yield milestone.tranche
