"""Checks who decides: each agreement, answer, election, exercise and decision is of the party that it belongs to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from marketplace.auditor.stream import Findings, Message

Body = Mapping[str, Any]
Who = tuple[str, ...]
"""Roles: of the grant, instrument, order or issuer that an event is about; ``platform``; ``worker``: nobody decides."""
_SIDES: Final = ("startup", "holder", "provider")
_PAYERS: Final = ("startup", "holder")

MADE: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "grant.issued": ("grant_id", {"startup": "startup_id", "payer": "startup_id", "provider": "provider_id"}),
    "grant.transferred": ("grant_id", {"startup": "startup_id"}),
    "service_line.proposed": ("service_line_id", {"holder": "holder_id"}),
    "instrument.issued": ("instrument_id", {"holder": "holder_id"}),
    "instrument.transferred": ("instrument_id", {"holder": "holder_id_after"}),
    "issuer.formed": ("issuer_id", {"company": "party_id"}),
    "issuer.price_source_named": ("source_id", {"recorder": "recorder_id"}),
    "mandate.granted": ("mandate_id", {"holder": "holder_id"}),
    "order.placed": ("order_id", {"startup": "startup_id"}),
    "quote.held": ("quote_id", {"startup": "startup_id"}),
    "lot.listed": ("lot_id", {"seller": "provider_id"}),
    "bond.posted": ("bond_id", {"provider": "party_id"}),
    "bond.claimed": ("claim_id", {"provider": "party_id"}),
}
"""What an event begins, and the members that name the parties to it."""

DECIDES: Final[dict[str, Who]] = {
    "account.approval_given": ("party", "platform"),
    "account.approval_requested": ("party", "platform"),
    "account.credit_limited": ("provider_id", "platform"),
    "account.deposited": ("platform",),
    "account.limit_set": ("party", "platform"),
    "account.withdrawn": ("party", "platform"),
    "bond.answered": ("provider", "platform", "worker"),
    "bond.claimed": ("startup",),
    "bond.posted": ("provider", "platform"),
    "bond.released": ("provider", "platform"),
    "issuer.financing_abandoned": ("company", "platform", "worker"),
    "grant.rescheduled": ("payer", "platform"),
    "grant.substituted": ("provider", "platform", "worker"),
    "instrument.debt_paid": ("holder", "platform"),
    "instrument.mfn_elected": ("holder", "platform"),
    "issuer.pro_rata_answered": ("holder_id", "platform"),
    "lot.listed": ("seller", "platform"),
    "lot.repriced": ("seller", "platform"),
    "mandate.amended": ("holder", "platform"),
    "mandate.granted": ("holder",),
    "mandate.order_approved": ("holder", "platform"),
    "mandate.order_refused": ("holder", "platform"),
    "mandate.revoked": ("holder", "platform"),
    "order.amended": ("startup", "platform"),
    "order.cancelled": ("startup", "platform", "worker"),
    "order.placed": ("startup", "platform"),
    "party.cleared": ("platform",),
    "party.role_added": ("platform",),
    "party.suspended": ("platform",),
    "pricelist.published": ("platform",),
    "quote.held": ("startup", "platform"),
    "quote.taken": ("startup", "platform"),
    "register.relation_found": ("platform",),
    "register.relation_stated": ("party",),
    "schedule.published": ("platform",),
    "service_line.agreed": ("startup", "platform"),
    "service_line.approved": ("holder", "platform"),
    "service_line.proposed": ("provider", "platform"),
}
"""Who decides by an event, if it states nobody: the row of the table of rights."""

BY: Final[dict[str, dict[str, Who]]] = {
    "statement.accepted": {
        "acceptance": (*_PAYERS, "platform"),
        "silence": (*_PAYERS, "platform", "worker"),
        "resolution": (*_SIDES, "platform", "worker"),
    },
    "statement.resolved": {
        "concession": (*_SIDES, "platform"),
        "offer": (*_SIDES, "platform"),
        "silence": ("worker", "platform"),
        "platform": ("platform",),
        "undecided": ("worker", "platform"),
    },
    "bond.claimed": {"holder": ("holder_id",)},
    "statement.disputed": {"meters": ("worker", *_SIDES, "platform")},
    "grant.suspended": {"startup": ("startup",), "provider": ("provider", "platform", "worker")},
    "issuer.valuation_recorded": {"platform": ("platform",), "company": ("company", "platform")},
}
"""Who decides by an event that states by what it came about."""

STATED: Final = frozenset(
    {
        "statement.agreed",
        "statement.answered",
        "statement.conceded",
        "statement.disputed",
        "statement.referred",
        "service_line.declined",
        "grant.terminated",
        "usage.corrected",
        "usage.reported",
        "usage.voided",
    }
)
"""Events that state the side which decides, or whose meter counted; the platform may act for it."""

BY_COMPANY: Final = frozenset(
    {
        "instrument.transferred",
        "issuer.dilution_limited",
        "issuer.financing_closed",
        "issuer.financing_opened",
        "issuer.first_refusal_exercised",
        "issuer.holder_terms_agreed",
        "issuer.liquidity_declared",
        "issuer.option_cancelled",
        "issuer.option_granted",
        "issuer.option_promise_withdrawn",
        "issuer.option_promised",
        "issuer.option_transferred",
        "issuer.price_source_named",
        "issuer.programme_opened",
        "issuer.stock_class_created",
        "issuer.stock_plan_adjusted",
        "issuer.stock_split",
        "issuer.warrant_cancelled",
        "issuer.warrant_issued",
    }
)
"""What only the company proposes, or does if nobody else has to agree."""
_PROPOSED: Final = BY_COMPANY - {"issuer.programme_opened"} | {"issuer.instrument_signed", "issuer.stakeholder_added"}
"""What only the company proposes; an instrument of an order needs no proposal. A holder may ask for a programme."""


@dataclass(slots=True)
class Deciders:
    """Folds who is a party to what, and checks who did what a party decides.

    Attributes:
        roles: The parties in each role, by the id of what they are parties to.
        warrants: The holder of each warrant.
        proposers: Who made each proposal.
    """

    findings: Findings
    roles: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    warrants: dict[str, str] = field(default_factory=dict)
    proposers: dict[str, str] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        names = [message.event_type.removesuffix(".v1") for message in decision]
        is_agreed = "proposal.carried_out" in names
        for name, message in zip(names, decision, strict=True):
            body = message.read()
            if name in MADE:
                member, named = MADE[name]
                for role, party in named.items():
                    self._add(body[member], role, body.get(party))
            if name == "grant.issued":
                self._add(body["grant_id"], "holder", (body.get("equity") or {}).get("holder_id"))
                self._add(body["grant_id"], "reseller", (body.get("resale") or {}).get("seller_id"))
            if name.startswith("proposal."):
                self._check_proposal(message, name, body, names)
            elif not is_agreed:
                self._check(message, name, body, names)
            if name == "issuer.warrant_issued":
                self.warrants[body["warrant_id"]] = body["holder_id"]
            elif name == "issuer.warrant_transferred":
                self.warrants[body["warrant_id"]] = body["holder_id_after"]

    def _add(self, subject_id: str, role: str, party_id: str | None) -> None:
        if party_id is not None:
            self.roles.setdefault(subject_id, {}).setdefault(role, set()).add(party_id)

    def _list(self, role: str, body: Body) -> set[str]:
        """Return the parties in a role to what an event is about."""
        found: set[str] = set()
        for member, value in body.items():
            if member.endswith("_id") and isinstance(value, str):
                found |= self.roles.get(value, {}).get(role, set())
        return found

    def _check(self, message: Message, name: str, body: Body, beside: Sequence[str]) -> None:
        """Check an event that no proposal records. What who resells hours posts at their sale follows from a rule."""
        allowed = self._find_allowed(name, body, beside)
        if allowed is None or (name == "bond.posted" and "grant.issued" in beside):
            return
        actor = message.headers.get("ce-actor", "")
        parties = {party for role in allowed for party in self._list_named(role, body)}
        kind = "worker" if actor.startswith("worker:") else "platform"
        holds = actor in parties if actor.startswith("pty_") else kind in allowed
        others = [each for each in allowed if each in {"platform", "worker"}]
        text = f"{actor} decides {name}, which is for {', '.join((*sorted(parties), *others))}"
        self.findings.require(holds, "decider", message.sequence, text)

    def _find_allowed(self, name: str, body: Body, beside: Sequence[str]) -> Who | None:
        """Return who may decide by an event; None if it follows from others or nobody decides it."""
        stated = body.get("by") or body.get("recorded_by") or body.get("meter")
        if name in BY and stated in BY[name]:
            return BY[name][stated]
        if name in STATED and stated is not None:
            follows = "issuer.distribution_paid" in beside or stated not in _SIDES
            timed = ("worker",) if name == "grant.terminated" else ()
            return None if follows else (stated, "platform", *timed)
        is_of_sale = "issuer.distribution_paid" in beside and str(body.get("reference", "")).startswith("liq_")
        is_lowered = name == "bond.answered" and body["outcome"] == "lowered"
        if (name == "account.withdrawn" and is_of_sale) or is_lowered:
            # `sales.py` compares whom a holder has paid with what is due; `bonds.py` asks why a claim falls.
            return None
        if name == "bond.claimed" and "order.unmatched" in beside:
            return ("worker",)  # `bonds.py` compares the claim with the match that its provider broke
        if name == "lot.listed" and body.get("grant_id") is not None and "grant.substituted" in beside:
            return None  # what a grant offers for resale moves with it, and `binding.py` compares it with what it had
        if name in BY_COMPANY:
            own = body.get("cause") is None and "issuer.imported" not in beside
            return ("company", "platform") if own else None
        if name == "issuer.price_observed":
            return ("recorder", "platform")
        if name == "issuer.warrant_exercised":
            return ("warrant", "company", "platform")
        if name == "issuer.milestone_attested":
            return ("platform",) if body.get("attester_id") is None else ("attester_id", "platform")
        return DECIDES.get(name)

    def _list_named(self, role: str, body: Body) -> set[str]:
        if role.endswith("_id"):
            return {str(body[role])}
        if role == "party":
            return {str(body.get("party_id") or f"pty_{body['account_id'][4:]}")}
        if role == "warrant":
            return {self.warrants.get(body["warrant_id"], str(body["holder_id"]))}
        return self._list(role, body)

    def _check_proposal(self, message: Message, name: str, body: Body, beside: Sequence[str]) -> None:
        """Check who makes a proposal, withdraws it, or lets it take effect."""
        actor, require, sequence = message.headers.get("ce-actor", ""), self.findings.require, message.sequence
        proposal_id = body["proposal_id"]
        if name == "proposal.made":
            self.proposers[proposal_id] = body["proposer_id"]
            is_own = actor == body["proposer_id"] or not actor.startswith("pty_")
            require(is_own, "decider", sequence, f"{actor} proposes {proposal_id} as {body['proposer_id']}")
            if body["proposer_id"] not in self._list("company", body):
                acts = sorted({each["type"].removesuffix(".v1") for each in body["effects"]} & _PROPOSED)
                require(not acts, "decider", sequence, f"{body['proposer_id']} proposes {acts}, and is not the company")
        elif name == "proposal.ended" and body["outcome"] == "withdrawn":
            is_own = actor == self.proposers.get(proposal_id) or not actor.startswith("pty_")
            require(is_own, "decider", sequence, f"{actor} withdraws {proposal_id}, which it did not make")
        elif name == "proposal.carried_out":
            is_awaited = actor == self.proposers.get(proposal_id) or actor.startswith("worker:")
            text = f"{proposal_id} takes effect, and nobody agrees"
            require("proposal.agreed" in beside or is_awaited, "decider", sequence, text)
