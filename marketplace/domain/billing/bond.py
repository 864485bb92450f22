"""Bonds: money that a provider sets apart for those to whom it does not deliver, and claims on it.

Subject: ``marketplace.bond.<bond_id>``. A provider has one, with a part for all of its grants and one for each lot that
it posted money for. A claim is paid by the parts of the lots that carry its grant, then by the part for all, then from
what the provider has available. From the claim on, its account keeps what the parts do not cover (`list_uncovered`), as
it does for corrections, until the claim is paid or ends for nothing; after an early end, from its announcement. A
provider without a bond is claimed from too.

While the claims on a part exceed its money, all of them get the same share of what they claim; of a lot's part, as much
for each undelivered GPU-second as for any other, until a claim is paid. Claims for broken
matches rank behind those for undelivered hours, and get of each source what these leave. Of a part they get no more
than `BROKEN_PART` of what it has, all of them together and whenever they are made; the provider owes the rest. Nobody
has paid for such a match, and its price is what its two sides named, so no shell's match takes the money of a tenant
whose nodes fail later, or who claims later. What is claimed and
not yet answered, or contested, keeps its share in the part. Nothing is paid of a claim before its time for answers is
over, whoever answered it and when. So a claim that is made first and answered at once takes nothing from others made in
that time. What a settled claim does not get is recorded as owed. It is paid when other claims end for less, when the
provider posts more, or as soon as its account has money for it.

Invariants:
    1. Of each part, what was posted is free, paid or released, and none of these is negative.
    2. A claim is paid at most what it was answered with, and that is at most what it claims.
    3. An early end of a grant is claimed once. A period is claimed again once its claim is settled, for what the log
       shows beyond what that came to when it was settled: so a reading that lowered a claim, and is taken back later,
       costs the claimant nothing.
    4. A part is released whole, once its term and the time for claims are over and no claim on it is open or owed.
    5. A posting counts once, and so does a credit for which a part of a claim is returned, at most what was paid of it.
    6. Nothing is paid of a claim before its `answer_until`.
    7. No source pays for a broken match what an open claim for undelivered hours may still need of it, and no part
       pays for all of them more than `BROKEN_PART` of its money.

Refusals in order: bond_unknown · not_a_number · amount_not_positive · amount_too_large · amount_too_precise ·
time_naive · term_passed · term_shorter · claim_exists · claim_unknown · claim_<status> ·
answer_not_due · answer_late · answer_above_claim · answer_below_admitted · bond_empty · bond_stands · bond_claimed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

import msgspec
from immutables import Map

from events.bond import BondAnswered, BondClaimed, BondEvent, BondPaid, BondPosted, BondReleased, BondReturned, Outcome
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_aware
from marketplace.core.money import CENT, ZERO, floor_cents, require_usd
from marketplace.domain.billing.remedies import CLAIM_WITHIN, DECIDE_WITHIN
from marketplace.domain.refusals import refuse_status, refuse_unknown, require_found


class PostBond(msgspec.Struct, frozen=True, kw_only=True):
    """Set money apart, which the same append holds on the provider's account.

    Attributes:
        bond_id: The bond.
        party_id: The provider.
        account_id: Its account.
        posting_id: The posting's own; it counts once.
        lot_id: The lot whose grants it covers; None: all of the provider's.
        amount_usd: How much is added.
        stands_until: Until when all of that part stands at least.
        at: Now.
    """

    bond_id: str
    party_id: str
    account_id: str
    posting_id: str
    lot_id: str | None
    amount_usd: Decimal
    stands_until: datetime
    at: datetime


class ClaimBond(msgspec.Struct, frozen=True, kw_only=True):
    """Claim for undelivered hours what `remedies` computed. The event contains the whole claim."""

    bond_id: str
    claimed: BondClaimed


class AnswerClaim(msgspec.Struct, frozen=True, kw_only=True):
    """Answer a claim.

    Attributes:
        bond_id: The bond.
        claim_id: The claim.
        by: Who answers: the provider; the platform, which decides for ever; or ``silence``, once the provider or the
            platform let its time pass. Silence also pays what was answered before.
        amount_usd: What is conceded or decided; None: all that is claimed.
        reason: Why.
        at: Now.
        most_usd: What the claim comes to by the log now, which counts if it is less; None: what is claimed.
        money_usd: What the provider has available for claims, beside the bond, and has paid of claims from it so far.
        freed_at: When more of the provider's money is available for claims at the earliest; None: no instant is known.
    """

    bond_id: str
    claim_id: str
    by: Literal["provider", "silence", "platform"]
    amount_usd: Decimal | None
    reason: str
    at: datetime
    most_usd: Decimal | None = None
    money_usd: Decimal = ZERO
    freed_at: datetime | None = None


class ReleaseBond(msgspec.Struct, frozen=True, kw_only=True):
    """Release a part.

    Attributes:
        bond_id: The bond.
        lot_id: The lot of the part; None: the part for all grants.
        at: Now.
        needed_until: Until when the lot or a grant of it needs the part; None: nothing needs it. The part for all
            grants stands as its provider stated.
    """

    bond_id: str
    lot_id: str | None
    at: datetime
    needed_until: datetime | None = None


class ReturnClaim(msgspec.Struct, frozen=True, kw_only=True):
    """Lower a settled claim to what it comes to, and return what was paid beyond.

    Hours of a replacement are not charged, or the claimed hours are.

    Attributes:
        bond_id: The bond.
        claim_id: The claim.
        replacement_id: The replacement; None: the claimed hours are charged.
        cause: The credit, or the replacement that is over, or the charge; it counts once.
        most_usd: What the claim comes to by the log now.
        credited: Who can return money, with the account and the USD: a holder, or None for the startup.
    """

    bond_id: str
    claim_id: str
    replacement_id: str | None
    cause: str
    most_usd: Decimal
    credited: tuple[tuple[str | None, str, Decimal], ...]


BondCommand = PostBond | ClaimBond | AnswerClaim | ReturnClaim | ReleaseBond
Status = Literal["open", "contested", "settled"]
BROKEN_PART: Final = Fraction(1, 10)
"""How much of the money of a part broken matches may take."""
OWN: Final = ""
"""Stands for the provider's available money among the sources of payments."""


@dataclass(frozen=True, slots=True)
class Part:
    """Money for one lot or for all grants, and until when it stands at least."""

    hold_id: str
    stands_until: datetime
    posted_usd: Decimal = ZERO
    paid_usd: Decimal = ZERO
    released_usd: Decimal = ZERO

    @property
    def free_usd(self) -> Decimal:
        """Return the USD that are neither paid nor released."""
        return self.posted_usd - self.paid_usd - self.released_usd


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim on a bond.

    Attributes:
        claimed: The claim as made.
        status: ``settled`` once its amount is final, paid or not.
        due_usd: What it was answered with so far.
        paid: What each part paid of it, by lot; None is the part for all grants, `OWN` the provider's other money.
        received: What each holder of equity got of it.
        decide_until: By when the platform decides it; None unless it was contested.
        counted_usd: What it came to by the log when it was settled, less what was returned since; what the platform
            decides is final, so all of it.
        returned: What was returned, by payment.
    """

    claimed: BondClaimed
    status: Status = "open"
    due_usd: Decimal = ZERO
    paid: Map[str | None, Decimal] = field(default_factory=Map)
    received: Map[str, Decimal] = field(default_factory=Map)
    decide_until: datetime | None = None
    counted_usd: Decimal = ZERO
    returned: Map[str, Decimal] = field(default_factory=Map)

    @property
    def paid_usd(self) -> Decimal:
        """Return the USD that all parts and the provider paid."""
        return sum(self.paid.values(), ZERO)

    @property
    def is_broken_match(self) -> bool:
        """Return whether it is for a match that became no grant."""
        return any(item.remedy == "broken_match" for item in self.claimed.items)

    @property
    def demand_usd(self) -> Decimal:
        """Return the most that it may come to, paid money included: what is claimed, or what is due once settled."""
        return self.due_usd if self.status == "settled" else self.claimed.amount_usd


@dataclass(frozen=True, slots=True)
class Bond:
    """A provider's bond: parts by lot (None: for all grants), claims in the order made, and ids of postings."""

    party_id: str
    account_id: str
    parts: Map[str | None, Part] = field(default_factory=Map)
    claims: tuple[Claim, ...] = ()
    postings: frozenset[str] = frozenset()

    def find(self, claim_id: str) -> Claim | None:
        """Return a claim; None if there is none."""
        return next((claim for claim in self.claims if claim.claimed.claim_id == claim_id), None)

    @property
    def own_usd(self) -> Decimal:
        """Return the USD that the provider paid of claims beside the bond."""
        return sum((claim.paid.get(OWN, ZERO) for claim in self.claims), ZERO)

    def list_ranks(self) -> list[list[Claim]]:
        """Return the open claims in the order of payment: for undelivered hours, then for broken matches."""
        claims = self.list_open()
        return [[claim for claim in claims if claim.is_broken_match is behind] for behind in (False, True)]

    def list_open(self) -> list[Claim]:
        """Return the claims that may still get money, or are owed some."""
        return [claim for claim in self.claims if claim.paid_usd < claim.demand_usd]


BondState = Bond | None


def name_claim(grant_id: str, statement_id: str | None, number: int, *, is_seller: bool = False) -> str:
    """Return the id of the claim of a statement period or, for None, of early ends: the `number`-th, from 0.

    `is_seller` names the one against the seller of resold hours.
    """
    if is_seller:
        return derive_id("bcl", grant_id, f"seller/{statement_id or ''}/{number}")
    if statement_id is not None:
        return derive_id("bcl", grant_id, f"{statement_id}/{number}" if number else statement_id)
    return derive_id("bcl", grant_id, str(number) if number else "")


def list_end_claims(state: BondState, grant_id: str, before: datetime | None) -> list[BondClaimed]:
    """Return the claims about early ends of a grant that were made before an instant, in order; none for None."""
    if state is None or before is None:
        return []
    ends = (one.claimed for one in state.claims if (one.claimed.grant_id, one.claimed.statement_id) == (grant_id, None))
    return [claimed for claimed in ends if claimed.made_at < before]


def list_settled_claims(
    state: BondState, grant_id: str, statement_id: str | None, before: datetime | None = None
) -> list[Claim]:
    """Return the settled claims of a statement period, in order: all, or those that were made before an instant."""
    if state is None or statement_id is None:
        return []
    return [
        claim
        for claim in state.claims
        if (claim.claimed.grant_id, claim.claimed.statement_id) == (grant_id, statement_id)
        and claim.status == "settled"
        and (before is None or claim.claimed.made_at < before)
    ]


def refuse_claimed(claim_id: str) -> Refusal:
    """Return the refusal ``claim_exists``."""
    text = f"claim {claim_id} is made of this period or early end already; read it in GET /v1/bonds/claims"
    return Refusal("claim_exists", text, id=claim_id)


def decide(command: BondCommand, state: BondState) -> Sequence[BondEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    if isinstance(command, PostBond):
        return _post(command, state)
    if isinstance(command, ClaimBond):
        return _claim(command, state)
    if state is None:
        raise refuse_unknown("bond", command.bond_id)
    match command:
        case AnswerClaim():
            return _answer(command, state)
        case ReturnClaim():
            return list(_return(command, state))
        case ReleaseBond():
            return _release(command, state)


def _post(command: PostBond, state: BondState) -> Sequence[BondEvent]:
    if state is not None and command.posting_id in state.postings:
        return []
    require_usd(command.amount_usd, "/amount_usd")
    require_aware(command.stands_until, "/stands_until")
    known = None if state is None else state.parts.get(command.lot_id)
    if command.stands_until <= command.at:
        raise Refusal(
            "term_passed",
            f"the bond would stand until {render_instant(command.stands_until)}, which has passed;"
            " state a later instant",
            pointer="/stands_until",
        )
    if known is not None and known.free_usd and command.stands_until < known.stands_until:
        raise Refusal(
            "term_shorter",
            f"the bond stands until {render_instant(known.stands_until)} already; state that or later",
            pointer="/stands_until",
        )
    posted = BondPosted(
        bond_id=command.bond_id,
        party_id=command.party_id,
        account_id=command.account_id,
        posting_id=command.posting_id,
        lot_id=command.lot_id,
        hold_id=derive_id("hld", command.bond_id, command.lot_id or ""),
        amount_usd=command.amount_usd,
        stands_until=command.stands_until,
    )
    return [posted, *list_payments(command.bond_id, evolve(state, posted), command.at)]


def _claim(command: ClaimBond, state: BondState) -> Sequence[BondEvent]:
    claimed = command.claimed
    known = None if state is None else state.find(claimed.claim_id)
    if known is not None:
        if known.claimed == claimed:
            return []
        raise refuse_claimed(claimed.claim_id)
    return [claimed]


def _answer(command: AnswerClaim, state: Bond) -> Sequence[BondEvent]:
    claim = require_found("claim", command.claim_id, state.find(command.claim_id))
    claimed_usd = claim.claimed.amount_usd
    most = max(min(claimed_usd, claimed_usd if command.most_usd is None else command.most_usd), claim.due_usd)
    amount = most if command.amount_usd is None else command.amount_usd
    require_usd(amount, "/amount_usd", zero=True)
    payments = list(list_payments(command.bond_id, state, command.at, command.money_usd))
    if claim.status == "settled" and (command.by == "silence" or claim.due_usd == amount):
        if command.by == "silence" and not payments:
            _require_money(command, claim)
        return payments
    is_running = claim.decide_until is not None and command.at < claim.decide_until
    if command.by == "silence" and is_running and payments:
        return payments
    if (claim.status, command.by) == ("contested", "silence"):
        amount = floor_cents(Fraction(most + claim.due_usd) / 2)
    outcome = _find_outcome(command, claim, is_whole=amount == most)
    if (claim.status, outcome, amount) == ("contested", "contested", claim.due_usd):
        return []
    allowed = ("open",) if command.by == "provider" else ("open", "contested")
    if claim.status not in allowed:
        raise refuse_status("claim", command.claim_id, claim.status, " or ".join(allowed))
    _require_time(command, claim)
    if amount > most:
        raise Refusal(
            "answer_above_claim",
            f"{claimed_usd} is claimed, and it comes to {most} now; answer with that or less",
            pointer="/amount_usd",
        )
    if amount < claim.due_usd:
        raise Refusal(
            "answer_below_admitted",
            f"the provider conceded {claim.due_usd}; decide at least that",
            pointer="/amount_usd",
        )
    answered = _answer_with(state, claim, outcome, amount, reason=command.reason)
    if outcome == "contested":
        answered = msgspec.structs.replace(answered, decide_until=command.at + DECIDE_WITHIN)
    return [answered, *list_payments(command.bond_id, evolve(state, answered), command.at, command.money_usd)]


def _answer_with(state: Bond, claim: Claim, outcome: Outcome, amount_usd: Decimal, *, reason: str) -> BondAnswered:
    return BondAnswered(
        bond_id=claim.claimed.bond_id,
        party_id=state.party_id,
        claim_id=claim.claimed.claim_id,
        startup_id=claim.claimed.startup_id,
        holder_id=claim.claimed.holder_id,
        outcome=outcome,
        amount_usd=amount_usd,
        reason=reason,
    )


def _return(command: ReturnClaim, state: Bond) -> Iterator[BondAnswered | BondReturned]:
    """Yield that a settled claim is due no more than it comes to, and what each payee returns of what was paid beyond.

    Payees return in proportion to what they got, each at most what it can return now.
    """
    claim = require_found("claim", command.claim_id, state.find(command.claim_id))
    if claim.status != "settled":
        return
    least_usd = max(command.most_usd, claim.paid_usd)
    if least_usd < claim.due_usd:
        reason = "less is charged in place of the hours, or more of them was delivered, since"
        yield _answer_with(state, claim, "lowered", least_usd, reason=reason)
    over_usd = claim.paid_usd - sum(claim.returned.values(), ZERO) - command.most_usd
    if over_usd <= 0:
        return
    for holder_id, account_id, credited_usd in command.credited:
        got_usd = claim.paid_usd - sum(claim.received.values(), ZERO)
        if holder_id is not None:
            got_usd = claim.received.get(holder_id, ZERO)
        amount_usd = min(floor_cents(Fraction(over_usd) * Fraction(got_usd) / Fraction(claim.paid_usd)), credited_usd)
        payment_id = derive_id("cap", command.claim_id, f"{command.cause}/{holder_id or ''}")
        if amount_usd > 0 and payment_id not in claim.returned:
            yield BondReturned(
                bond_id=command.bond_id,
                party_id=state.party_id,
                claim_id=command.claim_id,
                startup_id=claim.claimed.startup_id,
                holder_id=holder_id,
                grant_id=claim.claimed.grant_id,
                replacement_id=command.replacement_id,
                payer_account_id=account_id,
                payee_account_id=state.account_id,
                payment_id=payment_id,
                amount_usd=amount_usd,
            )


def _find_outcome(command: AnswerClaim, claim: Claim, *, is_whole: bool) -> Outcome:
    match command.by:
        case "platform":
            return "decided"
        case "provider":
            return "conceded" if is_whole else "contested"
        case "silence":
            return "lapsed" if claim.status == "open" else "undecided"


def _require_time(command: AnswerClaim, claim: Claim) -> None:
    due = claim.decide_until or claim.claimed.answer_until
    if command.by == "silence" and command.at < due:
        who = "provider" if claim.decide_until is None else "platform"
        raise Refusal(
            "answer_not_due",
            f"the {who} may answer claim {command.claim_id} until {render_instant(due)}",
            due=render_instant(due),
        )
    if command.by == "provider" and command.at >= due:
        raise Refusal(
            "answer_late", f"claim {command.claim_id} could be answered until {render_instant(due)}, which has passed"
        )


def _require_money(command: AnswerClaim, claim: Claim) -> None:
    """Refuse to pay nothing of an owed claim before more money is available, so that it is tried again then."""
    if claim.paid_usd < claim.due_usd and command.freed_at is not None:
        due = render_instant(command.freed_at)
        raise Refusal("answer_not_due", f"the provider has no money for claim {command.claim_id} until {due}", due=due)


def _refuse_empty(command: ReleaseBond, state: Bond) -> Refusal:
    """Return the refusal to release a part that there is not, which says where the bond's money is."""
    lot_ids = ", ".join(sorted(lot_id for lot_id, part in state.parts.items() if lot_id is not None and part.free_usd))
    has_general = None in state.parts and state.parts[None].free_usd
    places = [f"of {lot_ids}: name one as lot_id"] if lot_ids else []
    places += ["for all grants: leave lot_id out"] if has_general else []
    where = f"; it has money {', and '.join(places)}" if places else ""
    text = f"bond {command.bond_id} has no money for {command.lot_id or 'all grants'} to release{where}"
    return Refusal("bond_empty", text, pointer="/lot_id")


def _release(command: ReleaseBond, state: Bond) -> Sequence[BondEvent]:
    part = state.parts.get(command.lot_id)
    if part is not None and not part.free_usd:
        return []
    if part is None:
        raise _refuse_empty(command, state)
    last = part.stands_until if command.lot_id is None else command.needed_until
    until = command.at if last is None else last + CLAIM_WITHIN
    if command.at < until:
        raise Refusal(
            "bond_stands",
            f"the bond stands, and may be claimed from, until {render_instant(until)}; release it then",
            due=render_instant(until),
        )
    has_room = _find_room(state, command.lot_id) > 0
    open_ids = [
        claim.claimed.claim_id
        for claim in state.list_open()
        if command.lot_id in _list_parts(state, claim) and (has_room or not claim.is_broken_match)
    ]
    if open_ids:
        raise Refusal(
            "bond_claimed", f"claim {open_ids[0]} on the bond is open or owed; release the bond once it is paid"
        )
    return [
        BondReleased(
            bond_id=command.bond_id,
            party_id=state.party_id,
            lot_id=command.lot_id,
            hold_id=part.hold_id,
            amount_usd=part.free_usd,
        )
    ]


def _list_parts(state: Bond, claim: Claim) -> list[str | None]:
    """Return the parts that may pay a claim, by lot: those of its lots, and the one for all grants (None)."""
    return [lot_id for lot_id in (*claim.claimed.lot_ids, None) if lot_id in state.parts]


def _find_room(state: Bond, lot_id: str | None) -> Decimal:
    """Return the USD that a part may still pay for broken matches."""
    part = state.parts[lot_id]
    paid_usd = sum((claim.paid.get(lot_id, ZERO) for claim in state.claims if claim.is_broken_match), ZERO)
    return max(floor_cents(BROKEN_PART * Fraction(part.posted_usd - part.released_usd)) - paid_usd, ZERO)


def list_payments(bond_id: str, state: Bond, at: datetime, money_usd: Decimal = ZERO) -> Iterator[BondPaid]:
    """Return what is paid at `at`: by the parts of lots first, then by the part for all grants, then from `money_usd`.

    From each source every open claim of a rank gets its share of what is left of it (`_share_out`), claims whose time
    for an answer runs included; their share stays there. The next rank gets what is left once that is all.
    """
    claims = state.list_open()
    dues = {claim.claimed.claim_id: claim.due_usd for claim in claims}
    left = {
        **{lot_id: part.free_usd for lot_id, part in state.parts.items()},
        OWN: max(money_usd - state.own_usd, ZERO),
    }
    for source, claim, share, _ in _list_shares(state, left):
        claim_id = claim.claimed.claim_id
        entitled = floor_cents(Fraction(dues[claim_id]) * share)
        dues[claim_id] -= entitled
        amount = min(entitled - claim.paid.get(source, ZERO), left[source])
        if amount > 0 and at >= claim.claimed.answer_until:
            now = next(one for one in state.claims if one.claimed.claim_id == claim_id)
            left[source] -= amount
            for paid in _pay(bond_id, state, now, source, amount):
                state = evolve(state, paid)
                yield paid


def list_uncovered(state: Bond) -> dict[str, Decimal]:
    """Return, by claim, the USD that it may still come to and that no part of the bond covers; 0 once it ended."""
    free: dict[str | None, Decimal] = {lot_id: part.free_usd for lot_id, part in state.parts.items()}
    found = {claim.claimed.claim_id: claim.demand_usd - claim.paid.get(OWN, ZERO) for claim in state.list_open()}
    for source, claim, _, covered in _list_shares(state, free):
        found[claim.claimed.claim_id] -= max(covered, claim.paid.get(source, ZERO))
    return {claim.claimed.claim_id: max(found.get(claim.claimed.claim_id, ZERO), ZERO) for claim in state.claims}


def _list_shares(
    state: Bond, money: Mapping[str | None, Decimal]
) -> Iterator[tuple[str | None, Claim, Fraction, Decimal]]:
    """Yield, for each source in order and each open claim on it, its share of what is left of it, and the USD of that.

    Args:
        state: The bond.
        money: What each source has left.
    """
    ranks = state.list_ranks()
    demands = {claim.claimed.claim_id: claim.demand_usd for claims in ranks for claim in claims}
    for source in (*sorted(lot_id for lot_id in money if lot_id), *(each for each in (None, OWN) if each in money)):
        left = money[source]
        for behind, claims in enumerate(ranks):
            if behind and source != OWN:
                left = min(left, _find_room(state, source))
            members = [claim for claim in claims if source == OWN or source in _list_parts(state, claim)]
            total = sum((demands[claim.claimed.claim_id] for claim in members), ZERO)
            if not total:
                continue
            whole = left + sum((claim.paid.get(source, ZERO) for claim in members), ZERO)
            shares = _share_out(whole, [(claim, demands[claim.claimed.claim_id]) for claim in members], source)
            left = max(whole - total, ZERO)
            for claim, share in zip(members, shares, strict=True):
                covered = floor_cents(Fraction(demands[claim.claimed.claim_id]) * share)
                demands[claim.claimed.claim_id] -= covered
                yield source, claim, share, covered


def _share_out(whole_usd: Decimal, members: Sequence[tuple[Claim, Decimal]], source: str | None) -> Sequence[Fraction]:
    """Return the share of its demand that each claim gets of a source.

    Of a lot's part, that is as much for each GPU-second as for any other, until a claim has all. So the price that a
    provider and a shell of its own agreed on takes nothing from others whose hours the lot sold.
    """
    if source in {None, OWN}:
        total_usd = sum((usd for _, usd in members), ZERO)
        return [min(Fraction(whole_usd) / Fraction(total_usd), Fraction(1))] * len(members)
    sizes = [sum(item.gpu_seconds for item in claim.claimed.items) for claim, _ in members]
    shares, left, seconds = [Fraction(0)] * len(members), Fraction(whole_usd), sum(sizes)
    for index in sorted(range(len(members)), key=lambda at: Fraction(members[at][1]) / sizes[at]):
        due = Fraction(members[index][1])
        part = min(left * sizes[index] / seconds, due)
        shares[index] = part / due if due else Fraction(1)
        left, seconds = left - part, seconds - sizes[index]
    return shares


def _pay(bond_id: str, state: Bond, claim: Claim, source: str | None, amount_usd: Decimal) -> Iterator[BondPaid]:
    """Yield the payments of an amount from a source: of all that is paid, each holder gets its share, rounded down."""
    claimed, paid_usd = claim.claimed, claim.paid_usd
    share = Fraction(paid_usd + amount_usd) / Fraction(claimed.amount_usd)
    payees: list[tuple[str | None, str, Decimal]] = []
    left = amount_usd
    for holder in claimed.holders:
        due_usd = floor_cents(Fraction(holder.amount_usd) * share) - claim.received.get(holder.party_id, ZERO)
        payees.append((holder.party_id, holder.account_id, min(due_usd, left)))
        left -= payees[-1][2]
    for holder_id, account_id, part_usd in (*payees, (None, claimed.startup_account_id, left)):
        if part_usd:
            paid_usd += part_usd
            yield BondPaid(
                bond_id=bond_id,
                party_id=state.party_id,
                claim_id=claimed.claim_id,
                startup_id=claimed.startup_id,
                holder_id=holder_id,
                lot_id=source or None,
                hold_id=None if source == OWN else state.parts[source].hold_id,
                grant_id=claimed.grant_id,
                payee_account_id=account_id,
                payment_id=derive_id("cap", claimed.claim_id, f"{source or ''}/{paid_usd - part_usd}"),
                amount_usd=part_usd,
                owed_usd=claim.due_usd - paid_usd,
            )


def evolve(state: BondState, event: BondEvent) -> Bond:
    """Return the state after an event."""
    if isinstance(event, BondPosted):
        bond = state or Bond(event.party_id, event.account_id)
        part = bond.parts.get(event.lot_id, Part(event.hold_id, event.stands_until))
        part = replace(part, posted_usd=part.posted_usd + event.amount_usd, stands_until=event.stands_until)
        postings = bond.postings | {event.posting_id}
        return replace(bond, parts=bond.parts.set(event.lot_id, part), postings=postings)
    if isinstance(event, BondClaimed):
        state = state or Bond(event.party_id, rename_id("acc", event.party_id))
        return replace(state, claims=(*state.claims, Claim(event)))
    assert state is not None, "a bond is posted or claimed from first"
    match event:
        case BondAnswered():
            status: Status = "contested" if event.outcome == "contested" else "settled"
            changes = {"status": status, "due_usd": event.amount_usd, "decide_until": event.decide_until}
            return _change(state, event.claim_id, **changes, counted_usd=_find_counted(state, event))
        case BondPaid():
            claim, source = state.find(event.claim_id), OWN if event.hold_id is None else event.lot_id
            assert claim is not None, "only claims are paid"
            sum_usd = claim.paid.get(source, ZERO) + event.amount_usd
            if source != OWN:
                part = state.parts[source]
                part = replace(part, paid_usd=part.paid_usd + event.amount_usd)
                state = replace(state, parts=state.parts.set(source, part))
            received = claim.received
            if event.holder_id is not None:
                received = received.set(event.holder_id, received.get(event.holder_id, ZERO) + event.amount_usd)
            return _change(state, event.claim_id, paid=claim.paid.set(source, sum_usd), received=received)
        case BondReturned():
            claim = state.find(event.claim_id)
            assert claim is not None, "only what was paid of a claim is returned"
            returned = claim.returned.set(event.payment_id, event.amount_usd)
            return _change(state, event.claim_id, returned=returned, counted_usd=claim.counted_usd - event.amount_usd)
        case BondReleased():
            part = state.parts[event.lot_id]
            part = replace(part, released_usd=part.released_usd + event.amount_usd)
            return replace(state, parts=state.parts.set(event.lot_id, part))


def _find_counted(state: Bond, event: BondAnswered) -> Decimal:
    """Return what a claim came to by the log when it was answered, also beyond what a seller of resold hours owes."""
    claim = state.find(event.claim_id)
    assert claim is not None, "only claims are answered"
    claimed = claim.claimed
    match event.outcome:
        case "lowered":
            return event.amount_usd
        case "conceded" | "lapsed":
            counted_usd = event.amount_usd
        case "undecided":  # the middle of that and what was conceded, rounded down
            counted_usd = min(2 * event.amount_usd - claim.due_usd + CENT, claimed.amount_usd)
        case _:
            counted_usd = claimed.amount_usd
    if counted_usd < claimed.amount_usd:
        return counted_usd
    return sum((item.amount_usd for item in claimed.items), ZERO) - claimed.credited_usd


def _change(state: Bond, claim_id: str, **changes: object) -> Bond:
    claims = (
        replace(claim, **changes) if claim.claimed.claim_id == claim_id else claim  # type: ignore[arg-type]
        for claim in state.claims
    )
    return replace(state, claims=tuple(claims))


BOND: Decider[BondCommand, BondEvent, BondState] = Decider("bond", "bnd", None, decide, evolve)
