"""Whom each event concerns: the one table that decides which events a tenant's feed shows.

Which fields of an event it shows is decided by `limit_seen`.

- ``PUBLIC``: everyone; the market's inventory, the times of its auctions, and an operator's statements about positions
  of the log.
- ``PLATFORM``: only the operator; sealed books, results with the decisions on all orders, and command records.
- ``PARTIES``: the parties that the body names at its top level, the members of the aggregate, which are the parties
  that its first event names, and the members of its grant or issuer. The actor alone is not enough: a command of one
  party moves others' money.

A party sees a body completely or not at all, with four exceptions. A holder of an issuer's equity sees the issuer's
terms, rounds and sales, and proposals of a sale, as far as its information rights go at that moment
(`marketplace.domain.equity.information`). A startup that uses a grant by transfer does not see the fee of its early
end, nor what is set aside for it once it is rescheduled, nor the hashes of its events, by which it could find these by
trying. The holder of a mandate sees what is committed to grants, not what orders hold or free, which is worth their
sealed offers. Of a statement about the log a party sees positions and effect, not whose event it was. Only its startup
sees the sealed terms of an order. A party that an event adds to an aggregate or to an issuer's holders counts from then
on, not before: the answer depends only on the log's order, never on batches.

Invariant: every event type is in exactly one of the three sets.
"""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from msgspec import structs

from events import (
    auction,
    bond,
    clock,
    grant,
    instrument,
    issuer,
    log,
    lot,
    mandate,
    pool,
    pricelist,
    proposal,
    schedule,
    site,
    statement,
)
from events.issuer_holders import Depth
from events.registry import AGGREGATES, EVENT_TYPES, list_tags
from events.subjects import ALL
from events.types import Event
from marketplace.core.money import ZERO
from marketplace.domain.equity.information import LIMITED, WHOLE, limit_event
from marketplace.domain.equity.issuer.rights.warrant_terms import list_attesters
from marketplace.projections.engine.projection import all_of, tags_of
from marketplace.projections.engine.recorded_events import RecordedEvent

EVERYONE: Final = "*"
WITHHELD: Final = "withheld"
WITHHELD_HASH: Final = "0" * 64
FULL: Final[Depth] = "full"
OWN: Final[Depth] = "own"
LOG: Final = all_of("log")
"""Statements about positions of the log: everybody may have handled an event that has no effect any more."""
PUBLIC: Final = LOG | tags_of(
    site.SiteRegistered,
    site.SiteEnergised,
    site.SiteDerated,
    site.SiteConversionScheduled,
    site.SiteConversionSlipped,
    pool.PoolOpened,
    pool.PoolClosingAnnounced,
    lot.LotListed,
    lot.LotRepriced,
    lot.LotRescheduled,
    lot.LotPaused,
    lot.LotResumed,
    lot.LotWithdrawn,
    auction.AuctionOpened,
    auction.AuctionIndicated,
    auction.AuctionBound,
    auction.AuctionCompleted,
    auction.AuctionFailed,
    pricelist.PricelistPublished,
    schedule.SchedulePublished,
    bond.BondPosted,
    bond.BondReleased,
    clock.ClockAdvanced,
)
PLATFORM: Final = all_of("auction", "command") - PUBLIC
PARTIES: Final = frozenset(EVENT_TYPES) - PUBLIC - PLATFORM
COSTS: Final = (
    grant.GrantResold,
    grant.GrantStagePaid,
    grant.GrantStageMissed,
    grant.GrantWithholdingEnded,
)
"""Events of a grant that say what it costs."""
OF_BUYER: Final = ("cash_usd", "holder_usd", "principal_usd", "provider_fee_usd", "startup_fee_usd")
"""What charges say of others than the seller of resold hours: how its buyer pays, and the platform's fees of others."""
STATING: Final = (statement.StatementIssued, statement.StatementCredited)
"""Events that begin a statement."""
STATED: Final = (
    *STATING,
    statement.StatementAccepted,
    statement.StatementConceded,
    statement.StatementPartSettled,
    statement.StatementResolved,
)
"""Events that state charges."""
_OF_ORDERS: Final = (
    mandate.MandateBudgetHeld,
    mandate.MandateOrderRefused,
    mandate.MandateRevoked,
    mandate.MandateBudgetReleased,
)
"""Events of a mandate that may tell what an order holds."""
_PARTY: Final = re.compile(r"^pty_[0-9a-z]{26}$")
NAMES: Final = (
    "party_id",
    "startup_id",
    "startup_id_before",
    "provider_id",
    "holder_id",
    "holder_id_after",
    "proposer_id",
    "customer_id",
    "vendor_id",
    "recorder_id",
    "attester_id",
    "related_id",
)
PARENTS: Final = {
    "usage": "grant_id",
    "statement": "grant_id",
    "pool": "grant_id",
    "site": "grant_id",
    "instrument": "issuer_id",
    "proposal": "issuer_id",
}
FOUNDING: Final = frozenset(
    tag
    for aggregate in AGGREGATES
    if aggregate not in {"usage", "statement", "register"}
    for tag in list_tags(aggregate)[:1]
) | tags_of(
    grant.GrantTransferred, instrument.InstrumentTransferred, statement.StatementIssued, statement.StatementCredited
)
"""Events whose named parties become members of an aggregate: the first event of each aggregate.

A transfer of a grant makes its new user a member of the grant and its usage, not of its statements. Usage and
statements have the members of their grant; of resold hours, the seller sees the statements too, without what the buyer
pays with. The register has no members: each relation is for the parties that it names.
"""


def get_named(event: Event) -> set[str]:
    """Return the parties that the body names at its top level, the holder of a grant's equity, voters and attesters."""
    values = [getattr(event, name, None) for name in NAMES]
    equity: Any = getattr(event, "equity", None)
    if equity is not None:
        values.append(equity.holder_id)
    if isinstance(event, proposal.ProposalMade):
        values.extend(voter.party_id for consent in event.consents for voter in consent.voters)
    if isinstance(event, issuer.IssuerWarrantIssued):
        values.extend(list_attesters(event.tranches))
    return {value for value in values if value is not None and _PARTY.match(value)}


def get_relatives(fact: RecordedEvent) -> tuple[str, ...]:
    """Return the aggregates whose members the event concerns: its own, and its grant or issuer.

    An event about holding or releasing nodes of a resold grant also concerns the seller.
    """
    held = isinstance(fact.event, pool.PoolCapacityHeld | pool.PoolCapacityReleased)
    if held and (seller := getattr(fact.event, "grant_id_before", None)) is not None:
        return fact.id, seller
    parent = PARENTS.get(fact.aggregate)
    parent_id: str | None = None if parent is None else getattr(fact.event, parent, None)
    return (fact.id,) if parent_id is None else (fact.id, parent_id)


def name_users(grant_id: str) -> str:
    """Return the key of the group of parties that use a grant by transfer. They do not see what it costs.

    Of a statement, it is the group of who resold its hours, which does not see how its buyer pays.
    """
    return f"{grant_id}/users"


def find_used(fact: RecordedEvent) -> str | None:
    """Return the grant whose users by transfer see the event too, because it is not about costs; None otherwise.

    For an event of a statement it is the statement, whose reseller sees it.
    """
    if fact.aggregate == "statement":
        return fact.id
    if fact.aggregate == "grant" and not isinstance(fact.event, COSTS):
        return fact.id
    return getattr(fact.event, "grant_id", None) if fact.aggregate == "usage" else None


def get_audience(
    fact: RecordedEvent, members: set[str], depths: Mapping[str, Depth], users: Iterable[str] = ()
) -> dict[str, Depth]:
    """Return the parties that an event concerns, and how deep they see it; `EVERYONE` stands for all.

    Args:
        fact: The event.
        members: The members, before the event, of the aggregates that `get_relatives` returns.
        depths: How deep each holder of its issuer's equity sees into the issuer before it.
        users: The parties that use its grant by transfer, or resold the hours of its statement, before the event.
    """
    if fact.tag in PUBLIC:
        return {EVERYONE: OWN if fact.tag in LOG else FULL}
    if fact.tag in PLATFORM:
        return {}
    named = dict.fromkeys(get_named(fact.event) | members, FULL)
    if isinstance(fact.event, proposal.ProposalMade):
        directors = {
            voter.party_id for one in fact.event.consents if one.electorate == "directors" for voter in one.voters
        }
        whole = members | directors
        return {party_id: FULL if party_id in whole else depths.get(party_id, "own") for party_id in named}
    if isinstance(fact.event, LIMITED):
        return {**depths, **named}
    if isinstance(fact.event, _OF_ORDERS) and limit_seen(fact.event, None, OWN) != fact.event:
        return dict.fromkeys(named, OWN)
    if isinstance(fact.event, WHOLE):
        return {**{party_id: depth for party_id, depth in depths.items() if depth == FULL}, **named}
    reseller_id = getattr(fact.event, "reseller_id", None)
    return {**dict.fromkeys(users, OWN), **({reseller_id: OWN} if reseller_id else {}), **named}


def limit_seen(event: Event, party_id: str | None, depth: Depth) -> Event:
    """Return what a party may see of an event that concerns it."""
    if depth != FULL:
        match event:
            case grant.GrantTerminated():
                return structs.replace(event, fee_usd=ZERO, reseller_receives_usd=ZERO, reseller_pays_usd=ZERO)
            case grant.GrantRescheduled():
                return structs.replace(
                    event, cash_commitment_usd=ZERO, principal_commitment_usd=ZERO, budget_commitment_usd=ZERO
                )
            case _ if isinstance(event, STATED):
                return _limit_charges(event)
            case mandate.MandateBudgetHeld(amount_usd_max=Decimal()) | mandate.MandateOrderRefused():
                return structs.replace(event, amount_usd=ZERO)
            case mandate.MandateBudgetReleased(committed=False):
                return structs.replace(event, amount_usd=ZERO)
            case mandate.MandateRevoked():
                return structs.replace(
                    event, ended=tuple(structs.replace(hold, amount_usd=ZERO) for hold in event.ended)
                )
            case log.LogAnnotated() | log.LogGapAccepted() | log.LogLossAccepted():
                return _limit_log(event)
    return limit_event(event, party_id, depth)


def _limit_log(event: log.LogAnnotated | log.LogGapAccepted | log.LogLossAccepted) -> Event:
    """Return a statement about the log without whose event it was."""
    match event:
        case log.LogAnnotated():
            return structs.replace(event, subject=ALL, hash=WITHHELD_HASH, reason=WITHHELD)
        case log.LogGapAccepted():
            return structs.replace(event, lost=(), reason=WITHHELD)
        case log.LogLossAccepted():
            return structs.replace(event, expected_hash=WITHHELD_HASH, reason=WITHHELD)


def _limit_charges(event: Event) -> Event:
    """Return an event of a statement without what its buyer pays with, and what others are credited."""
    values: dict[str, Any] = {}
    for name in event.__struct_fields__:
        known = getattr(event, name)
        if isinstance(known, statement.Charges):
            values[name] = structs.replace(known, **dict.fromkeys(OF_BUYER, ZERO))
        elif isinstance(known, statement.ServiceCredit):
            values[name] = None
    return structs.replace(event, **values)


def get_joined(fact: RecordedEvent) -> str:
    """Return the key of the group that an event may give new members.

    This is the event's aggregate; for the transfer of a grant, the group of those that use the grant by transfer, and
    for a statement, that of who resold its hours.
    """
    return name_users(fact.id) if isinstance(fact.event, (grant.GrantTransferred, *STATING)) else fact.id


def get_joining(fact: RecordedEvent, members: set[str]) -> set[str]:
    """Return all members that the group of `get_joined` has from the event on; empty unless it is in `FOUNDING`.

    Who hands a grant on that it uses by transfer, uses it no longer.

    Args:
        fact: The event.
        members: As in `get_audience`.
    """
    if fact.tag not in FOUNDING:
        return set()
    if isinstance(fact.event, grant.GrantTransferred):
        return {fact.event.startup_id}
    if isinstance(fact.event, STATING):
        return {fact.event.reseller_id} if fact.event.reseller_id else set()
    return get_named(fact.event) | members
