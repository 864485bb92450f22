"""Information rights: what a holder sees of an issuer, by the depth that the holder terms grant to what it holds.

| depth | cap table | financings and sales |
|---|---|---|
| ``own`` | its own rows, and the totals of the company | terms, prices and totals; of the rows its own |
| ``summary`` | these, and the sums of all others by security | these; of a sale also the sums of all others' payouts |
| ``full`` | everything | everything, with the certificate |

Only at the depth ``full`` may a holder play sales: its own amounts at a few prices would tell it what is paid before
it, and the price at which somebody else's instrument converts. A voter on a proposed sale sees what that sale pays it,
and the sums by security, at every depth. At the depth ``own`` no class shows how many shares it has.

A party sees the names of all who must agree to a proposal. In a group that votes by weight, it sees its own weight and
the sum of the other weights. At the depth ``full`` it sees every weight. The groups and numbers of a buyer are shown to
the buyer only, until it has agreed and the sale is declared; its holders see the groups in which they vote.

A director sees the company at the depth ``full`` while the holder terms name it.

A sum of others' rows stands under the issuer's id. The feed follows the same rule while the holding
lasts: a holder gets the events of `LIMITED`, limited to its depth, and with the depth ``full`` those of `WHOLE` too.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar, get_args

from msgspec import Struct, structs

from events.financing import AssumedGrants, Investment, Payout, RoundTerms, Waterfall
from events.issuer import (
    IssuerAuthorisedSharesAdjusted,
    IssuerConversionPriceAdjusted,
    IssuerDilutionLimited,
    IssuerDistributionPaid,
    IssuerFinancingAbandoned,
    IssuerFinancingClosed,
    IssuerFinancingOpened,
    IssuerFinancingPriced,
    IssuerHolderTermsAgreed,
    IssuerLiquidityDeclared,
    IssuerLiquidityWithdrawn,
    IssuerOptionCancelled,
    IssuerOptionExercised,
    IssuerOptionGranted,
    IssuerOptionPromised,
    IssuerOptionPromiseWithdrawn,
    IssuerOptionTransferred,
    IssuerProRataAnswered,
    IssuerStockClassCreated,
    IssuerStockConverted,
    IssuerStockIssued,
    IssuerStockPlanAdjusted,
    IssuerStockRepurchased,
    IssuerStockSplit,
    IssuerStockTransferred,
    IssuerWarrantCancelled,
    IssuerWarrantExercised,
    IssuerWarrantExpired,
    IssuerWarrantIssued,
    IssuerWarrantTransferred,
)
from events.issuer_holders import Depth, HolderTerms
from events.proposal import Consent, ProposalMade, ProposedEvent, Voter
from events.registry import parse_body, render_body
from events.types import Event
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id, rename_id
from marketplace.core.money import ZERO, parse_ratio, render_ratio

LIMITED: Final = (
    IssuerStockClassCreated,
    IssuerAuthorisedSharesAdjusted,
    IssuerStockPlanAdjusted,
    IssuerStockSplit,
    IssuerConversionPriceAdjusted,
    IssuerDilutionLimited,
    IssuerHolderTermsAgreed,
    IssuerFinancingOpened,
    IssuerFinancingPriced,
    IssuerFinancingClosed,
    IssuerFinancingAbandoned,
    IssuerLiquidityDeclared,
    IssuerLiquidityWithdrawn,
    IssuerDistributionPaid,
)
"""Events of an issuer that every holder gets, limited to its depth."""
WHOLE: Final = (
    IssuerStockIssued,
    IssuerStockTransferred,
    IssuerStockRepurchased,
    IssuerStockConverted,
    IssuerOptionPromised,
    IssuerOptionPromiseWithdrawn,
    IssuerOptionGranted,
    IssuerOptionExercised,
    IssuerOptionTransferred,
    IssuerOptionCancelled,
    IssuerWarrantIssued,
    IssuerWarrantExercised,
    IssuerWarrantExpired,
    IssuerWarrantCancelled,
    IssuerWarrantTransferred,
    IssuerProRataAnswered,
)
"""Events of others' securities, which only holders get that see everything."""
P = TypeVar("P", bound=Struct)
_ROUND_ROWS: Final = ("instruments", "conversions", "allotments", "forfeits")
_DECLARED: Final = IssuerLiquidityDeclared.__struct_config__.tag
_LIMIT: Final = IssuerDilutionLimited.__struct_config__.tag
_OF_EACH: Final = frozenset({IssuerFinancingClosed.__struct_config__.tag, IssuerStockSplit.__struct_config__.tag})
"""Events with which a proposal records something for every holder."""
_BUYER: Final = "buyer_"
_OF_BUYER: Final = (
    "buyer_split_ratio",
    "buyer_shares",
    "buyer_principal_usd",
    "buyer_claims_exact",
    "buyer_preference_exact",
    "buyer_repurchased_usd",
)
"""What a sale states of its buyer: until it is declared, and the buyer has agreed, only the buyer sees it."""
_BY_NAME: Final = frozenset({"holder", "company", "directors", "buyer"})
"""Electorates whose voters each agree by name, with a weight of 1."""
_KINDS: Final = {"ins": "instruments", "opt": "options", "wrt": "warrants"}


class Sight(NamedTuple):
    """How much of an issuer a party sees.

    Attributes:
        issuer_id: The issuer.
        party_id: The party; None for the platform.
        depth: ``own``, ``summary`` or ``full``; always ``full`` for the company and the platform.
    """

    issuer_id: str
    party_id: str | None
    depth: Depth = "full"

    def sees(self, holder_id: str) -> bool:
        """Return whether the party sees the rows of a holder."""
        return self.depth == "full" or holder_id == self.party_id


def choose_depth(terms: HolderTerms | None, class_ids: Iterable[str], *, is_bound: bool) -> Depth:
    """Return the depth of a holder: the deepest of what the terms grant all holders and its classes of stock.

    Args:
        terms: The holder terms; None: they were never agreed.
        class_ids: The classes of which the holder has stock; empty if it holds something else.
        is_bound: Whether it held something when they were agreed. Who came later sees no less than without terms.
    """
    agreed = terms or HolderTerms()
    least = agreed.depth if is_bound else HolderTerms().depth
    depths = [least, agreed.depth, *(agreed.depths.get(class_id, agreed.depth) for class_id in class_ids)]
    return max(depths, key=get_args(Depth).index)


def require_full_to_play(sight: Sight) -> None:
    """Refuse to play a sale to a holder without the depth ``full``, since others' preferences and caps follow from it.

    Raises:
        Refusal: ``depth_insufficient``.
    """
    if sight.depth != "full":
        raise Refusal(
            "depth_insufficient",
            f"only holders of {sight.issuer_id} who see everything can play a sale; the proposal of a sale shows what"
            " it pays you",
            issuer_id=sight.issuer_id,
            depth=sight.depth,
        )


def require_full_to_read(sight: Sight) -> None:
    """Refuse the whole cap table to a holder without the depth ``full``.

    Raises:
        Refusal: ``depth_insufficient``.
    """
    if sight.depth != "full":
        raise Refusal(
            "depth_insufficient",
            f"only holders of {sight.issuer_id} who see everything read its whole cap table; /cap-table has your part",
            issuer_id=sight.issuer_id,
            depth=sight.depth,
        )


def find_waterfall(effects: Iterable[ProposedEvent]) -> Waterfall | None:
    """Return the waterfall of the sale that these effects declare; None if they declare none."""
    for effect in effects:
        if effect.type == _DECLARED:
            return _parse(effect).waterfall
    return None


def find_issuing(made: ProposalMade) -> str:
    """Return the issuer whose stock a proposal issues: in a sale, the buyer that pays with its own, if it is here."""
    waterfall = find_waterfall(made.effects)
    stock = None if waterfall is None else waterfall.stock
    return (None if stock is None else stock.buyer_issuer_id) or made.issuer_id


def _parse(effect: ProposedEvent) -> IssuerLiquidityDeclared:
    event = parse_body(effect.type, effect.body_json.encode())
    assert isinstance(event, IssuerLiquidityDeclared), "the type says so"
    return event


def limit_effects(effects: Sequence[ProposedEvent], sight: Sight) -> tuple[ProposedEvent, ...]:
    """Return what a party may see of the effects of a proposal.

    Of a closing or a split it sees the events that name it or no holder; others are limited by `limit_event`.
    """
    effects = [_hide_buyer(effect, sight) for effect in effects]
    if sight.depth == "full":
        return tuple(effects)
    hides = any(effect.type in _OF_EACH for effect in effects)
    return tuple(_limit_effect(effect, sight) for effect in effects if not hides or _is_seen(effect, sight))


def _hide_buyer(effect: ProposedEvent, sight: Sight) -> ProposedEvent:
    """Return what a party may see of an effect: only a buyer sees its own shares and principal in a proposed sale."""
    event = _parse(effect) if effect.type == _DECLARED and sight.party_id is not None else None
    stock = None if event is None else event.waterfall.stock
    if event is None or stock is None or stock.buyer_issuer_id in {None, rename_id("iss", sight.party_id or "")}:
        return effect
    hidden = structs.replace(stock, **dict.fromkeys(_OF_BUYER))
    event = structs.replace(event, waterfall=structs.replace(event.waterfall, stock=hidden))
    return structs.replace(effect, body_json=render_body(event).decode())


def _is_seen(effect: ProposedEvent, sight: Sight) -> bool:
    event = parse_body(effect.type, effect.body_json.encode())
    return getattr(event, "holder_id", getattr(event, "party_id", None)) in {None, sight.party_id}


def _limit_effect(effect: ProposedEvent, sight: Sight) -> ProposedEvent:
    if effect.type not in {_DECLARED, _LIMIT}:
        return effect
    event = parse_body(effect.type, effect.body_json.encode())
    return structs.replace(effect, body_json=render_body(limit_event(event, sight.party_id, sight.depth)).decode())


def limit_consents(consents: Sequence[Consent], sight: Sight) -> tuple[Consent, ...]:
    """Return the agreements that a proposal needs, with the weights that a party may see.

    It sees its own weight and those of others as one, under the issuer's id. With the depth ``full`` it sees every
    voter. Of the groups of a buyer it sees only those in which it votes; the buyer sees all.
    """
    buys = any(each.electorate == "buyer" and _votes(each, sight.party_id) for each in consents)
    return tuple(
        _limit_consent(each, sight, buys=buys)
        for each in consents
        if buys or sight.party_id is None or not each.electorate.startswith(_BUYER) or _votes(each, sight.party_id)
    )


def list_hidden(consents: Sequence[Consent], sight: Sight) -> frozenset[str]:
    """Return the voters that a party must not learn of: holders of a buyer that it does not see otherwise."""
    shown = limit_consents(consents, sight)
    named = {voter.party_id for each in consents for voter in each.voters if not each.electorate.startswith(_BUYER)}
    seen = {voter.party_id for each in shown for voter in each.voters}
    return frozenset(voter.party_id for each in consents for voter in each.voters) - seen - named


def _votes(consent: Consent, party_id: str | None) -> bool:
    return any(voter.party_id == party_id for voter in consent.voters)


def _limit_consent(consent: Consent, sight: Sight, *, buys: bool) -> Consent:
    sees = buys if consent.electorate.startswith(_BUYER) else sight.depth == "full"
    if sight.party_id is None or sees or consent.electorate.partition("/")[0] in _BY_NAME:
        return consent
    own = [voter for voter in consent.voters if voter.party_id == sight.party_id]
    rest = sum(voter.weight for voter in consent.voters if voter.party_id != sight.party_id)
    if rest:
        own.append(Voter(party_id=sight.issuer_id, weight=rest))
    return structs.replace(consent, voters=tuple(own))


def limit_event(event: Event, party_id: str | None, depth: Depth) -> Event:
    """Return what a party may see of an event of `LIMITED`, or of `ProposalMade`; others are returned whole."""
    match event:
        case IssuerFinancingOpened():
            sight = Sight(event.issuer_id, party_id, depth)
            kept = keep_seen(event.pro_rata, sight)
            return structs.replace(event, terms=limit_terms(event.terms, sight), pro_rata=kept)
        case IssuerFinancingPriced():
            sight = Sight(event.issuer_id, party_id, depth)
            offers = keep_seen(event.pro_rata, sight)
            return structs.replace(event, pricing=limit_pricing(event.pricing, sight), pro_rata=offers)
        case IssuerLiquidityDeclared():
            waterfall = limit_waterfall(event.waterfall, Sight(event.issuer_id, party_id, depth))
            return structs.replace(event, waterfall=waterfall, assumed=_limit_assumed(event.assumed, party_id, depth))
        case IssuerDistributionPaid():
            sight = Sight(event.issuer_id, party_id, depth)
            return structs.replace(
                event, payouts=limit_payouts(event.payouts, sight), later=keep_seen(event.later, sight)
            )
        case IssuerDilutionLimited() if depth != "full":
            return structs.replace(event, instruments=())
        case IssuerHolderTermsAgreed() if depth != "full":
            return structs.replace(event, bound=tuple(each for each in event.bound if each == party_id))
        case ProposalMade():
            sight = Sight(event.issuer_id, party_id, depth)
            limited = structs.replace(
                event, effects=limit_effects(event.effects, sight), consents=limit_consents(event.consents, sight)
            )
            return limited if depth == "full" else structs.replace(limited, worth_exact=None)
        case _:
            return event


def _limit_assumed(assumed: AssumedGrants | None, party_id: str | None, depth: Depth) -> AssumedGrants | None:
    """Return what a party may see of the grants that a buyer takes over; all but the buyer and ``full`` see no list."""
    if assumed is None or depth == "full" or rename_id("pty", assumed.issuer_id) == party_id:
        return assumed
    return structs.replace(assumed, grants=())


def keep_seen(rows: Iterable[Any], sight: Sight) -> tuple[Any, ...]:
    """Return the rows of the holders that a party sees."""
    return tuple(row for row in rows if sight.sees(row.holder_id))


def split_shares(rows: Sequence[Any], sight: Sight) -> tuple[tuple[Any, ...], dict[tuple[str, str, str], list[Any]]]:
    """Return the rows of a cap table that a party sees, and those of others of which it sees sums.

    The latter are keyed by kind, holder and security of the sum: a class of stock, or else the kind. The pool has no
    holder.
    """
    summed: dict[tuple[str, str, str], list[Any]] = {}
    for row in rows if sight.depth == "summary" else ():
        if not sight.sees(row.holder_id):
            holder_id = "" if row.kind == "pool" else sight.issuer_id
            security = row.security if row.kind == "stock" else row.kind
            summed.setdefault((row.kind, holder_id, security), []).append(row)
    return keep_seen(rows, sight), summed


def limit_class(view: P, sight: Sight) -> P:
    """Return what a party may see of a class of stock, a view: its terms, and beyond ``own`` how many shares exist."""
    return structs.replace(view, shares_outstanding=None) if sight.depth == "own" else view


def limit_terms(terms: RoundTerms, sight: Sight) -> RoundTerms:
    """Return what a party may see of the terms of a round.

    Below the depth ``full`` all others' investments are one, under the issuer's id. Of pay-to-play it sees its own
    duties, and what its stock becomes without them.
    """
    if sight.depth == "full":
        return terms
    own = [each for each in terms.investments if each.holder_id == sight.party_id]
    rest = sum((each.amount_usd for each in terms.investments if each.holder_id != sight.party_id), ZERO)
    if rest:
        own.append(Investment(holder_id=sight.issuer_id, amount_usd=rest))
    play = terms.pay_to_play
    duties = () if play is None else tuple(duty for duty in play.duties if duty.holder_id == sight.party_id)
    shown = structs.replace(play, duties=duties) if play is not None and duties else None
    return structs.replace(terms, investments=tuple(own), pay_to_play=shown)


def limit_pricing(pricing: P, sight: Sight) -> P:
    """Return what a party may see of a round's results: prices and totals, and its own rows.

    `pricing` is a `RoundPricing`, or a view with the same rows.
    """
    if sight.depth == "full":
        return pricing
    own = {name: keep_seen(getattr(pricing, name), sight) for name in _ROUND_ROWS}
    return structs.replace(pricing, **own, certificate_json="")


def limit_waterfall(waterfall: P, sight: Sight) -> P:
    """Return what a party may see of a waterfall: its own payouts, and those of others as its depth says.

    `waterfall` is a `Waterfall`, or a view with the same rows.
    """
    if sight.depth == "full":
        return waterfall
    payouts, instruments = (getattr(waterfall, name) for name in ("payouts", "instruments"))
    seen = limit_payouts(payouts, sight)
    return structs.replace(waterfall, instruments=keep_seen(instruments, sight), payouts=seen, certificate_json="")


def limit_payouts(payouts: Sequence[Payout] | None, sight: Sight) -> tuple[Payout, ...] | None:
    """Return what a party may see of payouts: its own, and those of others as its depth says."""
    if payouts is None or sight.depth == "full":
        return None if payouts is None else tuple(payouts)
    others = [] if sight.depth == "own" else [each for each in payouts if not sight.sees(each.holder_id)]
    return (*keep_seen(payouts, sight), *sum_payouts(others, sight.issuer_id))


def sum_payouts(payouts: Iterable[Payout], issuer_id: str) -> list[Payout]:
    """Return the sum of payouts per class of stock and per kind of other security, under the issuer's id."""
    found: dict[str, Payout] = {}
    for each in payouts:
        kind = next((kind for prefix, kind in _KINDS.items() if is_id(each.security, prefix)), each.security)
        known = found.get(kind)
        first = structs.replace(each, holder_id=issuer_id, security=kind)
        found[kind] = first if known is None else _add(known, each)
    return list(found.values())


def _add(one: Payout, other: Payout) -> Payout:
    return structs.replace(
        one,
        amount_exact=render_ratio(parse_ratio(one.amount_exact) + parse_ratio(other.amount_exact)),
        amount_usd=one.amount_usd + other.amount_usd,
        cash_usd=one.cash_usd + other.cash_usd,
        buyer_shares_exact=None
        if one.buyer_shares_exact is None or other.buyer_shares_exact is None
        else render_ratio(parse_ratio(one.buyer_shares_exact) + parse_ratio(other.buyer_shares_exact)),
        buyer_shares=None
        if one.buyer_shares is None or other.buyer_shares is None
        else one.buyer_shares + other.buyer_shares,
        shares=None if one.shares is None or other.shares is None else one.shares + other.shares,
    )
