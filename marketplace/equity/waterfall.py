"""The payouts of a sale of the company, and the elections behind them.

The fewer others convert, the more converting is worth, so the elections are solved together. At first nobody converts.
Then the class that gains most by another choice takes it, until no class gains. The result is a Nash equilibrium in
pure elections. Its certificate states what each class would have got by its other choices. On a tie a class does not
convert.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import product

from marketplace.core.errors import Refusal
from marketplace.core.rounding import allocate, round_whole
from marketplace.equity.certificates import ENGINE_VERSION
from marketplace.equity.exact import ZERO, Exact, render, show
from marketplace.equity.liquidation import Choice, ClaimKind, ExitClaim, OptionGrant, Part, Sale, read_sale
from marketplace.equity.model import Capitalization, Note, Safe
from marketplace.equity.splitting import Split, split

PROFILES_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Payout:
    """What one holder is paid for one class, instrument or grant.

    Attributes:
        amount_usd_exact: Net of any strike.
        amount_usd: To the cent; all payouts of a sale sum to its proceeds in whole cents.
    """

    holder_id: str
    item_id: str
    amount_usd_exact: Fraction
    amount_usd: Decimal


@dataclass(frozen=True, slots=True)
class Election:
    """The choice of a class, or of all instruments with the same terms, and the worth of each choice by itself."""

    claim_id: str
    item_ids: tuple[str, ...]
    kind: ClaimKind
    choice: Choice
    values_usd: tuple[tuple[Choice, Fraction], ...]


@dataclass(frozen=True, slots=True)
class Distribution:
    """A sale's proceeds, split.

    Attributes:
        exercised: Grants whose strike is below the price of a common share.
        certificate: Inputs, elections and payouts as JSON values, for `marketplace.equity.checker`.
    """

    proceeds_usd: Fraction
    price_per_common_share_usd: Fraction
    payouts: tuple[Payout, ...]
    elections: tuple[Election, ...]
    exercised: tuple[str, ...]
    certificate: dict[str, object]

    def paid_for(self, item_id: str) -> Fraction:
        """Sum what was paid for one class, instrument or grant, exact; zero if it took no part."""
        return sum((each.amount_usd_exact for each in self.payouts if each.item_id == item_id), ZERO)

    def paid_to(self, holder_id: str) -> Decimal:
        """Sum what one holder was paid, in whole cents."""
        return sum((each.amount_usd for each in self.payouts if each.holder_id == holder_id), Decimal(0))

    def choice_of(self, item_id: str) -> Choice:
        """Get what a class or instrument chose.

        Raises:
            KeyError: If it had no election.
        """
        for election in self.elections:
            if item_id in election.item_ids:
                return election.choice
        raise KeyError(item_id)


def distribute(
    proceeds_usd: Exact,
    capitalization: Capitalization,
    *,
    safes: Sequence[Safe] = (),
    notes: Sequence[Note] = (),
    options: Sequence[OptionGrant] = (),
    on_day: date | None = None,
    safe_seniority: int | None = None,
) -> Distribution:
    """Split the proceeds of a sale among everybody who has a right to them.

    Debt is paid first, then preferred by seniority with SAFEs beside it, then common with those who converted. An
    unissued pool is paid nothing.

    Args:
        proceeds_usd: What there is for holders, after costs and debts that are not listed; zero or more.
        capitalization: The company at the sale.
        safes: SAFEs not converted; each takes its purchase amount or converts at its liquidity price (YC form v1.2).
        notes: Notes not converted; each is repaid or converts at its cap; they need `on_day`.
        options: Every outstanding option and warrant, with its strike.
        on_day: Day of the sale, to which notes accrue.
        safe_seniority: Rank of SAFEs among preferred; required where the preferred has several ranks.

    Raises:
        Refusal: Those of `liquidation.read_sale`; then ``no_residual_holder`` if proceeds are left that nobody has a
            right to; ``no_equilibrium`` if no stable elections are found.
    """
    sale = read_sale(
        proceeds_usd,
        capitalization,
        safes=safes,
        notes=notes,
        options=options,
        on_day=on_day,
        safe_seniority=safe_seniority,
    )
    choices = _settle(sale)
    result = split(sale, choices)
    if result.unclaimed:
        raise Refusal(
            "no_residual_holder",
            f"{show(result.unclaimed)} USD of the proceeds belong to nobody: no common stock, and every claim "
            "is paid in full",
            unclaimed_usd=show(result.unclaimed),
        )
    payouts = _payouts(sale, result)
    elections = tuple(_election(sale, choices, index) for index in range(len(sale.claims)))
    exercised = tuple(grant.grant_id for grant in sale.options if Fraction(grant.strike_usd) < result.price_usd)
    return Distribution(
        proceeds_usd=sale.proceeds_usd,
        price_per_common_share_usd=result.price_usd,
        payouts=payouts,
        elections=elections,
        exercised=exercised,
        certificate=_certificate(sale, result, payouts, elections),
    )


def _settle(sale: Sale) -> tuple[Choice, ...]:
    choices: tuple[Choice, ...] = tuple("hold" for _ in sale.claims)
    for _ in range(4 * len(sale.claims) + 4):
        index, choice = _best_change(sale, choices)
        if choice is None:
            return choices
        choices = (*choices[:index], choice, *choices[index + 1 :])
    return _search(sale)


def _search(sale: Sale) -> tuple[Choice, ...]:
    size = 1
    for claim in sale.claims:
        size *= len(claim.choices)
    if size <= PROFILES_MAX:
        for choices in product(*(claim.choices for claim in sale.claims)):
            if _best_change(sale, choices)[1] is None:
                return choices
    raise Refusal(
        "no_equilibrium",
        f"no stable elections were found among {len(sale.claims)} classes; settle the elections by agreement",
        claims=[claim.claim_id for claim in sale.claims],
    )


def _best_change(sale: Sale, choices: tuple[Choice, ...]) -> tuple[int, Choice | None]:
    """Find the claim that gains most, in proportion, by changing its choice alone."""
    now = split(sale, choices).claims
    best: tuple[Fraction, int, Choice | None] = (ZERO, 0, None)
    for index, claim in enumerate(sale.claims):
        for choice in claim.choices:
            if choice == choices[index]:
                continue
            value = _value(sale, choices, index, choice)
            gain = (value - now[index]) / claim.hold_usd if claim.hold_usd else value - now[index]
            if gain > best[0]:
                best = (gain, index, choice)
    return best[1], best[2]


def _value(sale: Sale, choices: tuple[Choice, ...], index: int, choice: Choice) -> Fraction:
    return split(sale, (*choices[:index], choice, *choices[index + 1 :])).claims[index]


def _election(sale: Sale, choices: tuple[Choice, ...], index: int) -> Election:
    claim = sale.claims[index]
    values = tuple((choice, _value(sale, choices, index, choice)) for choice in claim.choices)
    return Election(
        claim_id=claim.claim_id,
        item_ids=tuple(dict.fromkeys(part.item_id for part in claim.parts)),
        kind=claim.kind,
        choice=choices[index],
        values_usd=values,
    )


def _payouts(sale: Sale, result: Split) -> tuple[Payout, ...]:
    exact = [
        *(
            (part, amount)
            for claim, paid in zip(sale.claims, result.claims, strict=True)
            for part, amount in _by_part(claim, paid)
        ),
        *((part, part.weight * result.price_usd) for part in sale.common),
        *(
            (Part(grant.holder_id, grant.grant_id, Fraction(grant.shares)), paid)
            for grant, paid in zip(sale.options, result.options, strict=True)
        ),
    ]
    cents = allocate(round_whole(100 * sale.proceeds_usd, "floor"), [amount for _, amount in exact])
    return tuple(
        Payout(part.holder_id, part.item_id, amount, Decimal(cent).scaleb(-2))
        for (part, amount), cent in zip(exact, cents, strict=True)
    )


def _by_part(claim: ExitClaim, paid: Fraction) -> Iterable[tuple[Part, Fraction]]:
    whole = sum((part.weight for part in claim.parts), ZERO)
    for part in claim.parts:
        yield part, paid * part.weight / whole


def _certificate(
    sale: Sale, result: Split, payouts: Sequence[Payout], elections: Sequence[Election]
) -> dict[str, object]:
    return {
        "kind": "distribution",
        "version": 1,
        "engine": ENGINE_VERSION,
        "proceeds_usd": render(sale.proceeds_usd),
        "claims": [_claim_record(claim, election) for claim, election in zip(sale.claims, elections, strict=True)],
        "common": [_part_record(part) for part in sale.common],
        "options": [
            {
                "grant_id": grant.grant_id,
                "holder_id": grant.holder_id,
                "shares": render(Fraction(grant.shares)),
                "strike_usd": render(Fraction(grant.strike_usd)),
            }
            for grant in sale.options
        ],
        "price_per_common_share_usd": render(result.price_usd),
        "payouts": [
            {
                "holder_id": each.holder_id,
                "item_id": each.item_id,
                "amount_usd_exact": render(each.amount_usd_exact),
                "amount_usd": str(each.amount_usd),
            }
            for each in payouts
        ],
    }


def _claim_record(claim: ExitClaim, election: Election) -> dict[str, object]:
    def optional(value: Fraction | None) -> str | None:
        return None if value is None else render(value)

    return {
        "claim_id": claim.claim_id,
        "kind": claim.kind,
        "seniority": claim.seniority,
        "hold_usd": render(claim.hold_usd),
        "shares": render(claim.shares),
        "cap_part": optional(claim.cap_part),
        "counts_conversions": claim.counts_conversions,
        "discounted_usd": optional(claim.discounted_usd),
        "participates": claim.participates,
        "participation_limit_usd": optional(claim.participation_limit_usd),
        "parts": [_part_record(part) for part in claim.parts],
        "choice": election.choice,
        "values_usd": {choice: render(value) for choice, value in election.values_usd},
    }


def _part_record(part: Part) -> dict[str, object]:
    return {"holder_id": part.holder_id, "item_id": part.item_id, "weight": render(part.weight)}
