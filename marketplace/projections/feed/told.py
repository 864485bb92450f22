"""Who is told of what by the feed, in words: of every type of event, and of every row of the table of rights.

The words follow from `marketplace.projections.feed.visibility`, which decides it. Who is told of an event may also see
what it is of.
"""

from collections.abc import Iterator
from typing import Final, get_args

from events.issuer import IssuerEvent
from events.registry import EVENT_TYPES
from marketplace.domain.equity.information import LIMITED, WHOLE
from marketplace.domain.equity.rights import COMPANY_ACT, CONSEQUENCES, RIGHTS
from marketplace.projections.engine.projection import get_aggregate, get_tag_of, tags_of
from marketplace.projections.feed.visibility import COSTS, FOUNDING, LOG, NAMES, PARENTS, PLATFORM, PUBLIC

_PROPOSED: Final = "proposal.made.v1"
_ASKED: Final = ("account.approval_requested.v1", "account.approval_given.v1", "account.approval_ended.v1")
_BESIDE_EQUITY: Final[dict[str, tuple[str, ...]]] = {
    "withdrawal": (*_ASKED, "account.withdrawn.v1"),
    "hold": (*_ASKED, "account.hold_placed.v1"),
    "proceeds": ("issuer.liquidity_declared.v1",),
    "gift": (_PROPOSED, "account.limit_used.v1"),
    "agreement": (*_ASKED, "proposal.agreed.v1"),
    "mfn_window": ("instrument.mfn_noticed.v1",),
    "mfn_election": ("instrument.mfn_elected.v1",),
    "maturity": ("instrument.matured.v1", "instrument.converted.v1"),
    "owed_shares": ("issuer.stock_issued.v1", "issuer.warrant_issued.v1"),
    "debt": ("instrument.debt_paid.v1", "account.credited.v1"),
    "accrual": ("instrument.suspended.v1", "instrument.resumed.v1", "instrument.cancelled.v1"),
    "sale_payment": ("issuer.distribution_paid.v1", "account.credited.v1"),
    "one_person": (
        "proposal.refused.v1",
        "proposal.consent_withdrawn.v1",
        "issuer.option_exercised.v1",
        "issuer.warrant_exercised.v1",
        "issuer.pro_rata_answered.v1",
        "mandate.order_approved.v1",
        "statement.agreed.v1",
        "statement.accepted.v1",
        "statement.disputed.v1",
        "statement.conceded.v1",
        "grant.terminated.v1",
    ),
    "suspended_holder": (
        "proposal.agreed.v1",
        "issuer.pro_rata_answered.v1",
        "instrument.mfn_elected.v1",
        "issuer.option_exercised.v1",
        "issuer.warrant_exercised.v1",
    ),
    "capture": ("account.hold_captured.v1", "account.credited.v1"),
    "hold_release": ("account.hold_released.v1",),
    "limit": (*_ASKED, "account.limit_set.v1"),
    "purchase": (
        *_ASKED,
        "order.placed.v1",
        "order.amended.v1",
        "quote.held.v1",
        "quote.taken.v1",
        "service_line.agreed.v1",
    ),
    "hold_fee": ("quote.released.v1", "quote.expired.v1"),
    "early_end": ("grant.terminated.v1", "pool.closing_announced.v1"),
    "schedule": ("schedule.published.v1",),
    "deposit": (*_ASKED, "account.deposited.v1"),
    "mandate": (*_ASKED, "mandate.granted.v1", "mandate.amended.v1"),
    "mandate_order": (
        _PROPOSED,
        "mandate.budget_held.v1",
        "mandate.order_approved.v1",
        "mandate.order_refused.v1",
        "order.mandate_approved.v1",
        "order.mandate_ended.v1",
    ),
    "mandate_bound": ("mandate.amended.v1", "mandate.revoked.v1", "mandate.order_refused.v1"),
    "statement": (
        "statement.issued.v1",
        "statement.agreed.v1",
        "statement.accepted.v1",
        "instrument.principal_accrued.v1",
    ),
    "equity_on_credit": ("statement.part_settled.v1", "instrument.principal_accrued.v1"),
    "undisputed": ("statement.disputed.v1", "statement.part_settled.v1"),
    "concession": ("statement.disputed.v1", "statement.resolved.v1"),
    "counter_offer": ("statement.answered.v1", "statement.resolved.v1"),
    "partial_concession": ("statement.conceded.v1",),
    "last_resort": ("statement.referred.v1", "statement.resolved.v1"),
    "correction": (
        "usage.corrected.v1",
        "usage.voided.v1",
        "usage.reallocated.v1",
        "service_line.corrected.v1",
        "service_line.voided.v1",
        "statement.issued.v1",
        "statement.credited.v1",
    ),
    "resumption": ("pool.node_restored.v1", "grant.resumed.v1", "site.energised.v1"),
    "end_for_cause": ("grant.terminated.v1",),
    "reserve": ("account.reserved.v1", "account.withdrawn.v1"),
    "bond": ("bond.posted.v1",),
    "credit": ("account.credit_limited.v1",),
    "bond_claim": ("bond.claimed.v1", "bond.answered.v1", "bond.paid.v1"),
    "bond_release": ("bond.released.v1",),
    "reschedule": ("grant.rescheduled.v1",),
    "service_line": (
        "service_line.proposed.v1",
        "service_line.approved.v1",
        "service_line.declined.v1",
        "service_line.agreed.v1",
    ),
    "grant_transfer": ("grant.transferred.v1",),
    "substitution": ("grant.substituted.v1",),
    "assumption": ("issuer.liquidity_declared.v1", "grant.issued.v1"),
    "role": ("party.role_requested.v1", "party.role_added.v1", "party.role_request_ended.v1"),
    "relation": ("register.relation_stated.v1", "register.relation_found.v1"),
    "relation_end": ("register.relation_ended.v1",),
    "related_trade": ("quote.held.v1", "mandate.budget_held.v1"),
    "key": (),
}
"""The types of events that record each act beside equity, in their order. Keys are not in the log."""


def list_events(name: str) -> tuple[str, ...]:
    """Return the types of events that record what a row of the table of rights is about."""
    if name in _BESIDE_EQUITY:
        return _BESIDE_EQUITY[name]
    acts = [event for event, right in RIGHTS.items() if right.name == name]
    if name == COMPANY_ACT:
        acts = [event for event in get_args(IssuerEvent) if event not in RIGHTS and event not in CONSEQUENCES]
    return (_PROPOSED, *map(get_tag_of, acts))


def list_event_readers(tag: str) -> Iterator[str]:
    """Yield who sees events of a type, besides the platform."""
    if tag in PUBLIC:
        yield "everybody, but not whose event it was" if tag in LOG else "everybody"
        return
    if tag in PLATFORM:
        yield "the platform only"
        return
    kind, members = get_aggregate(tag), EVENT_TYPES[tag].__struct_fields__
    named: list[str] = [name for name in NAMES if name in members]
    named += ["equity.holder_id"] if "equity" in members else []
    named += ["reseller_id"] if "reseller_id" in members else []
    named += ["consents"] if tag == "proposal.made.v1" else []
    named += ["attester_id"] if tag == "issuer.warrant_issued.v1" else []
    if named:
        yield "parties named as " + ", ".join(f"`{name}`" for name in named)
    parent = PARENTS.get(kind)
    if kind in {"usage", "statement"}:
        yield "the parties of its grant"
    elif kind != "register" and tag not in FOUNDING:
        yield f"the parties of the {kind.replace('_', ' ')}"
    if parent in members and kind not in {"usage", "statement"}:
        yield f"the parties of the {parent.removesuffix('_id')} that it names"
    if tag in tags_of(*COSTS):
        yield "not a startup that uses the grant by transfer"
    if tag in tags_of(*LIMITED):
        yield "holders of the issuer's equity, limited by their information rights"
    if tag in tags_of(*WHOLE):
        yield "holders whose information rights are `full`"


def tell(name: str) -> str:
    """Return who is told of what a row of the table of rights is about, besides the platform, by its events."""
    by_readers: dict[str, list[str]] = {}
    for tag in list_events(name):
        by_readers.setdefault("; ".join(list_event_readers(tag)), []).append(f"`{tag}`")
    told = ". ".join(f"{', '.join(tags)}: {readers}" for readers, tags in by_readers.items())
    return told or "nobody by the feed; each party reads its own keys"
