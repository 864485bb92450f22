"""Programmes, stated purchases, price sources and attested milestones.

`marketplace.domain.equity.issuer.issuer` documents the order of refusals.
"""

from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Final

from events.issuer import (
    IssuerEvent,
    IssuerMilestoneAttested,
    IssuerPriceCorrected,
    IssuerPriceObserved,
    IssuerPriceSourceNamed,
    IssuerProgrammeGrantAdded,
    IssuerProgrammeOpened,
    IssuerPurchasesStated,
)
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_aware
from marketplace.core.money import require_price_per_share, require_usd
from marketplace.core.rounding import round_half_even
from marketplace.domain.equity.issuer.programme_commands import (
    AddProgrammeGrant,
    CorrectPrice,
    NamePriceSource,
    ObservePrice,
    OpenProgramme,
    StatePurchases,
)
from marketplace.domain.equity.issuer.rights.averages import DAYS_KEPT
from marketplace.domain.equity.issuer.rights.fair_value import find_independent_price
from marketplace.domain.equity.issuer.rights.warrant_terms import find_attested
from marketplace.domain.equity.issuer.rights_commands import AttestMilestone
from marketplace.domain.equity.issuer.rules import is_repeated, require_shares
from marketplace.domain.equity.issuer.state import Issuer, PriceSource, Programme, Warrant, list_holders
from marketplace.domain.refusals import require_found

FAR_OFF: Final = 4
"""The largest factor, up or down, between a price that a party records and every other one near its day."""
NEAR: Final = timedelta(days=30)
"""How many days apart prices are near each other."""
OBSERVED_WITHIN: Final = timedelta(days=30)
"""How late the price of a day may be recorded."""
GRANTS_MAX: Final = 256
"""The most grants of a programme."""


def open_programme(command: OpenProgramme, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the programme; nothing if it is recorded."""
    event = IssuerProgrammeOpened(
        issuer_id=command.issuer_id,
        programme_id=command.programme_id,
        name=command.name,
        customer_ids=command.customer_ids,
        vendor_ids=command.vendor_ids,
        counts_outside=command.counts_outside,
    )
    known = {programme_id: programme.opened for programme_id, programme in state.programmes.items()}
    if is_repeated("programme", command.programme_id, known, event):
        return []
    customers, vendors = set(command.customer_ids), set(command.vendor_ids)
    if state.formed.party_id not in customers | vendors:
        raise Refusal(
            "company_missing",
            f"{state.formed.party_id} is neither a customer nor a vendor of the programme; name it on its side",
            pointer="/customer_ids",
        )
    if customers & vendors:
        raise Refusal(
            "sides_overlap",
            f"{min(customers & vendors)} would buy from itself; name it on one side",
            pointer="/vendor_ids",
        )
    return [event]


def _get_programme(state: Issuer, programme_id: str) -> Programme:
    return require_found("programme", programme_id, state.programmes.get(programme_id))


def _require_inside(programme: Programme, customer_id: str, vendor_id: str, what: str) -> None:
    opened = programme.opened
    if customer_id not in opened.customer_ids or vendor_id not in opened.vendor_ids:
        raise Refusal(
            "outside_programme",
            f"{what} is between {customer_id}, which buys, and {vendor_id}, which delivers; programme"
            f" {opened.programme_id} counts {', '.join(opened.customer_ids)} and {', '.join(opened.vendor_ids)}",
            customer_id=customer_id,
            vendor_id=vendor_id,
        )


def add_programme_grant(command: AddProgrammeGrant, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the event that lets a grant count in a programme; nothing if it counts already."""
    programme = _get_programme(state, command.programme_id)
    if command.grant_id in programme.grants:
        return []
    _require_inside(programme, command.customer_id, command.vendor_id, f"grant {command.grant_id}")
    if len(programme.grants) >= GRANTS_MAX:
        raise Refusal(
            "grants_too_many",
            f"programme {command.programme_id} counts {GRANTS_MAX} grants, the most; open another one",
            grants_max=GRANTS_MAX,
        )
    return [
        IssuerProgrammeGrantAdded(
            issuer_id=command.issuer_id,
            programme_id=command.programme_id,
            grant_id=command.grant_id,
            customer_id=command.customer_id,
            vendor_id=command.vendor_id,
            delivered_before=command.delivered_before,
        )
    ]


def state_purchases(command: StatePurchases, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the statement of purchases outside this market; nothing if it is recorded."""
    programme = _get_programme(state, command.programme_id)
    event = IssuerPurchasesStated(
        issuer_id=command.issuer_id,
        purchases_id=command.purchases_id,
        programme_id=command.programme_id,
        customer_id=command.customer_id,
        vendor_id=command.vendor_id,
        starts_on=command.starts_on,
        ends_on=command.ends_on,
        gpu_seconds=command.gpu_seconds,
        kilowatts=command.kilowatts,
        purchased_usd=command.purchased_usd,
        paid_usd=command.paid_usd,
        document=command.document,
        excludes_market=command.excludes_market,
        replaces=command.replaces,
    )
    if is_repeated("purchases", command.purchases_id, programme.stated, event):
        return []
    if not programme.opened.counts_outside:
        raise Refusal(
            "outside_excluded",
            f"programme {command.programme_id} counts only grants of this market; open one that counts others too",
            programme_id=command.programme_id,
        )
    _require_inside(programme, command.customer_id, command.vendor_id, "the statement")
    if not command.excludes_market:
        raise Refusal(
            "market_included",
            "grants of this market count by themselves; state purchases without them, and say so with"
            " excludes_market: true",
            pointer="/excludes_market",
        )
    require_usd(command.purchased_usd, "/purchased_usd", zero=True)
    require_usd(command.paid_usd, "/paid_usd", zero=True)
    require_aware(command.at, "/at")
    _require_span(command, programme)
    return [event]


def _require_span(command: StatePurchases, programme: Programme) -> None:
    if command.starts_on > command.ends_on or command.ends_on > command.at.date():
        raise Refusal(
            "span_impossible",
            f"purchases from {command.starts_on} to {command.ends_on} cannot be stated on {command.at.date()}; the span"
            " must have ended, and begin before it ends",
            pointer="/ends_on",
        )
    sides = (command.customer_id, command.vendor_id)
    replaced = None if command.replaces is None else programme.stated.get(command.replaces)
    if command.replaces is not None and (
        replaced is None
        or (replaced.customer_id, replaced.vendor_id, replaced.starts_on, replaced.ends_on)
        != (*sides, command.starts_on, command.ends_on)
    ):
        raise Refusal(
            "purchases_differ",
            f"{command.replaces} is no counted statement of the same parties and span, so this cannot replace it",
            pointer="/replaces",
        )
    for other_id, other in sorted(programme.stated.items()):
        overlaps = other.starts_on <= command.ends_on and command.starts_on <= other.ends_on
        if other_id != command.replaces and sides == (other.customer_id, other.vendor_id) and overlaps:
            raise Refusal(
                "purchases_overlap",
                f"statement {other_id} covers {other.starts_on} to {other.ends_on} of the same parties; state other"
                " days, or replace it",
                pointer="/starts_on",
                purchases_id=other_id,
            )


def name_price_source(command: NamePriceSource, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the price source; nothing if it is recorded."""
    event = IssuerPriceSourceNamed(
        issuer_id=command.issuer_id,
        source_id=command.source_id,
        name=command.name,
        recorder_id=command.recorder_id,
    )
    known = {source_id: source.named for source_id, source in state.price_sources.items()}
    if is_repeated("price_source", command.source_id, known, event):
        return []
    _require_independent(state, command.recorder_id)
    return [event]


def _require_independent(state: Issuer, recorder_id: str | None, related_ids: frozenset[str] = frozenset()) -> None:
    interested = {state.formed.party_id, *list_holders(state)}
    for warrant in state.warrants.values():
        interested |= warrant.interested
    if recorder_id is not None and interested & {recorder_id, *related_ids}:
        raise Refusal(
            "recorder_interested",
            f"{recorder_id} is the company, holds its securities, or is an affiliate of one of them; prices are"
            " recorded by another party, or by the platform",
            pointer="/recorder_id",
            recorder_id=recorder_id,
        )


def observe_price(command: ObservePrice, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the observation; nothing if it is recorded."""
    source = require_found("price_source", command.source_id, state.price_sources.get(command.source_id))
    event = IssuerPriceObserved(
        issuer_id=command.issuer_id,
        source_id=command.source_id,
        day=command.day,
        price_usd_per_share=command.price_usd_per_share,
        volume=command.volume,
    )
    _require_recorder(command, source)
    if source.latest == event or _is_recorded(command, source):
        return []
    _require_independent(state, command.recorder_id, command.related_ids)
    require_price_per_share(command.price_usd_per_share, "/price_usd_per_share")
    require_shares(command.volume, "/volume")
    require_aware(command.at, "/at")
    _require_next_day(command, source)
    _require_near(command, state, source)
    return [event]


def _is_recorded(command: ObservePrice, source: PriceSource) -> bool:
    """Return whether the platform repeats the price of a day."""
    known = (Fraction(command.price_usd_per_share), Fraction(command.volume))
    return command.recorder_id is None and source.prices.get(command.day) == known


def _require_recorder(command: ObservePrice | CorrectPrice, source: PriceSource) -> None:
    if command.recorder_id not in {None, source.named.recorder_id}:
        raise Refusal(
            "not_recorder",
            f"the prices of {command.source_id} are recorded by {source.named.recorder_id or 'the platform'}, not by"
            f" {command.recorder_id}",
            source_id=command.source_id,
        )


def correct_price(command: CorrectPrice, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the correction of a day's price, with the warrants that counted it; nothing if that is the price."""
    source = require_found("price_source", command.source_id, state.price_sources.get(command.source_id))
    _require_recorder(command, source)
    known = source.prices.get(command.day)
    if known is None:
        raise Refusal(
            "observation_unknown",
            f"{command.source_id} has recorded no price of {command.day} in its last {DAYS_KEPT.days} days; record it",
            pointer="/day",
        )
    if known == (Fraction(command.price_usd_per_share), Fraction(command.volume)):
        return []
    _require_independent(state, command.recorder_id, command.related_ids)
    require_price_per_share(command.price_usd_per_share, "/price_usd_per_share")
    require_shares(command.volume, "/volume", zero=True)
    _require_near(command, state, source)
    return [
        IssuerPriceCorrected(
            issuer_id=command.issuer_id,
            source_id=command.source_id,
            day=command.day,
            price_usd_per_share=command.price_usd_per_share,
            volume=command.volume,
            reason=command.reason,
            recorder_id=command.recorder_id,
            used_by=tuple(sorted(warrant_id for warrant_id, until in source.used.items() if command.day <= until)),
        )
    ]


def _require_next_day(command: ObservePrice, source: PriceSource) -> None:
    """Refuse a day that is not the next one; the platform may also record one that is missing of those that are kept.

    So no recorder leaves a warrant without its price by recording nothing for too long.
    """
    today, latest = command.at.date(), source.latest
    is_party = command.recorder_id is not None
    if command.day > today:
        raise Refusal("observation_in_future", f"the price of {command.day} cannot be known on {today}", pointer="/day")
    within = OBSERVED_WITHIN if is_party else DAYS_KEPT - timedelta(days=1)
    if command.day < today - within:
        raise Refusal(
            "observation_too_old",
            f"the price of {command.day} is recorded more than {within.days} days late, on {today}; the platform may"
            f" record a missing day of the last {DAYS_KEPT.days}",
            pointer="/day",
        )
    is_late = latest is not None and command.day <= latest.day
    if latest is not None and (command.day in source.prices or (is_party and is_late)):
        raise Refusal(
            "observation_exists" if command.day in source.prices else "observation_out_of_order",
            f"{command.source_id} has recorded {latest.day}; record a later day than that",
            pointer="/day",
            latest=latest.day.isoformat(),
        )


def _require_near(command: ObservePrice | CorrectPrice, state: Issuer, source: PriceSource) -> None:
    """Refuse a party's price that is far from another one near its day.

    If none is near, it is compared with the latest one, and with the price that is independent of company and recorder.
    """
    if command.recorder_id is None:
        return
    others = {day: price for day, (price, volume) in source.prices.items() if volume and day != command.day}
    known = {f"of {day}": price for day, price in sorted(others.items()) if abs(day - command.day) <= NEAR}
    if not known:
        if source.latest is not None:
            known[f"of {source.latest.day}"] = source.prices[source.latest.day][0]
        own = {state.formed.party_id, *command.insider_ids}
        interested = frozenset({*own, command.recorder_id, *command.related_ids})
        independent = find_independent_price(state, interested, command.day)
        if independent is not None:
            known["that others paid or the platform recorded"] = independent
    for whose, price in known.items():
        if not price / FAR_OFF <= Fraction(command.price_usd_per_share) <= price * FAR_OFF:
            raise Refusal(
                "observation_far_off",
                f"{command.price_usd_per_share} USD is more than {FAR_OFF} times, or less than a quarter of, the"
                f" {round_half_even(price, 4)} USD {whose}; check it, or let the platform record it",
                pointer="/price_usd_per_share",
            )


def attest_milestone(command: AttestMilestone, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the attestation; nothing if it is recorded."""
    warrant = require_found("warrant", command.warrant_id, state.warrants.get(command.warrant_id))
    milestone = require_found("milestone", command.milestone, find_attested(warrant.issued.tranches, command.milestone))
    event = IssuerMilestoneAttested(
        issuer_id=command.issuer_id,
        attestation_id=command.attestation_id,
        warrant_id=command.warrant_id,
        milestone=command.milestone,
        attester_id=command.attester_id,
        document=command.document,
    )
    known = warrant.attested.get(command.milestone)
    _require_attester(command, state, warrant, milestone.attester_id)
    if known == event:
        return []
    if known is not None:
        raise Refusal(
            "milestone_attested",
            f"milestone {command.milestone} of warrant {command.warrant_id} was already attested by"
            f" {known.attestation_id}",
            attestation_id=known.attestation_id,
        )
    require_aware(command.at, "/at")
    ends = [warrant.issued.expires_at, *([] if milestone.until is None else [milestone.until])]
    if warrant.expired or warrant.is_past(command.at) or command.at >= min(ends):
        raise Refusal(
            "milestone_lapsed",
            f"milestone {command.milestone} could be attested before {render_instant(min(ends))}, which has passed",
            until=render_instant(min(ends)),
        )
    return [event]


def _require_attester(command: AttestMilestone, state: Issuer, warrant: Warrant, attester_id: str | None) -> None:
    if command.attester_id is None:
        return
    if warrant.interested & {command.attester_id, *command.related_ids}:
        raise Refusal(
            "attested_by_beneficiary",
            f"{command.attester_id} benefits from milestone {command.milestone}; {attester_id or 'the platform'}"
            " attests it",
            attester_id=command.attester_id,
        )
    if command.attester_id == state.formed.party_id:
        raise Refusal(
            "attested_by_issuer",
            f"the issuer does not attest milestones of its own warrants; {attester_id or 'the platform'} does",
            attester_id=command.attester_id,
        )
    if command.attester_id != attester_id:
        raise Refusal(
            "not_attester",
            f"milestone {command.milestone} is attested by {attester_id or 'the platform'}, not by"
            f" {command.attester_id}",
            attester_id=command.attester_id,
        )
