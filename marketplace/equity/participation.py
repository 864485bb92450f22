"""Rights and duties to take part in a later round: pro rata, target ownership, pay-to-play, and plain dilution."""

from dataclasses import dataclass
from fractions import Fraction

from marketplace.equity.exact import ONE, Exact, not_negative, positive, proper_fraction


def pro_rata_usd(ownership: Exact, round_usd: Exact) -> Fraction:
    """Compute the dollars with which a holder keeps its part of the company in a round: ownership times the round."""
    return proper_fraction(ownership, "ownership") * positive(round_usd, "round_usd")


def pro_rata_beside(ownership: Exact, new_investors_post_money: Exact) -> Fraction:
    """Compute the part of the company that pro rata holders take beside a fixed part of new investors.

    The holders' part counts as part of the round: ``x = ownership * (new + x)``.
    """
    owned = proper_fraction(ownership, "ownership")
    return owned * proper_fraction(new_investors_post_money, "new_investors_post_money") / (ONE - owned)


def investment_for_target_usd(ownership: Exact, target: Exact, pre_money_usd: Exact, round_usd: Exact) -> Fraction:
    """Return how much a holder must invest to own a target part after a round; zero if it needs to invest nothing."""
    pre_money = positive(pre_money_usd, "pre_money_usd")
    post_money = pre_money + positive(round_usd, "round_usd")
    wanted = proper_fraction(target, "target") * post_money - proper_fraction(ownership, "ownership") * pre_money
    return max(Fraction(0), wanted)


def diluted(ownership: Exact, new_investors_post_money: Exact, pool_post_money: Exact) -> Fraction:
    """Compute an ownership after new investors and a new pool have taken their parts of the post-money."""
    left = ONE - not_negative(new_investors_post_money, "new_investors_post_money")
    return not_negative(ownership, "ownership") * (left - not_negative(pool_post_money, "pool_post_money"))


def effective_pre_money_usd(pre_money_usd: Exact, round_usd: Exact, pool_post_money: Exact) -> Fraction:
    """Compute the pre-money less the new pool inside it: the value of the present holders' shares.

    `pool_post_money` is the part of the post-money that the new pool takes, 0.1 for 10%.
    """
    pre_money = positive(pre_money_usd, "pre_money_usd")
    post_money = pre_money + not_negative(round_usd, "round_usd")
    return pre_money - proper_fraction(pool_post_money, "pool_post_money") * post_money


@dataclass(frozen=True, slots=True)
class PayToPlay:
    """The outcome of pay-to-play for a holder's preferred stock; shares are exact.

    `applicable_portion` is the part of its obligation that it did not invest, and so the part that converts.
    """

    applicable_portion: Fraction
    preferred_remaining: Fraction
    preferred_converted: Fraction
    common_issued: Fraction


def pay_to_play(
    preferred_shares: Exact, obligation_usd: Exact, contributed_usd: Exact, common_per_preferred: Exact
) -> PayToPlay:
    """Convert the part of a holder's preferred for which it did not pay.

    Args:
        preferred_shares: What it held before.
        obligation_usd: What it had to invest; above zero.
        contributed_usd: What it did invest; more than the obligation counts as the obligation.
        common_per_preferred: 1 unless the charter punishes, for example 1/10 for ten to one.
    """
    held = not_negative(preferred_shares, "preferred_shares")
    owed = positive(obligation_usd, "obligation_usd")
    portion = ONE - min(ONE, not_negative(contributed_usd, "contributed_usd") / owed)
    converted = held * portion
    return PayToPlay(
        applicable_portion=portion,
        preferred_remaining=held - converted,
        preferred_converted=converted,
        common_issued=converted * positive(common_per_preferred, "common_per_preferred"),
    )
