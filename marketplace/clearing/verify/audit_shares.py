"""Checks the shares that a certificate states against its welfare and bound, in fractions only.

The price loss is a share of an optimum that the verifier does not know. It checks what follows from the certificate
alone. The price loss is between 0 and the gap, and is the gap if the bound stands for the optimum. The engine's dual
bound is between welfare and bound; if it is the proven optimum, the price loss is a share of it. Only running the
engine again shows whether a lower share or bound is right.
"""

from collections.abc import Iterator
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction

from marketplace.clearing.model import Certificate


def find_wrong_shares(certificate: Certificate) -> Iterator[tuple[str, str]]:
    """Yield the codes of wrong shares, `gap`, `price_loss` and `dual_bound`, each with a sentence."""
    bound, welfare = Fraction(certificate.lp_bound_usd), Fraction(certificate.welfare_usd)
    gap = _miss(bound, welfare)
    if gap != certificate.gap:
        yield "gap", f"states {certificate.gap}, it is {gap}"
    loss, kind = certificate.price_loss_max, certificate.price_loss_kind
    if (loss is None) != (kind is None):
        yield "price_loss", f"states the share {loss} and the kind {kind}; expected both or neither"
    elif loss is not None and not 0 <= loss <= gap:
        yield "price_loss", f"states {loss}, which is not between 0 and the gap {gap}"
    elif loss is not None and kind == "lp_bound" and loss != gap:
        yield "price_loss", f"states {loss} by the bound, which proves {gap}"
    stated, most = certificate.welfare_usd, certificate.dual_bound_usd
    if most is not None and not welfare <= most <= bound:
        yield "dual_bound", f"states {most}, which is not between {stated} and {certificate.lp_bound_usd}"
    elif most is not None and kind == "optimum" and loss is not None and loss != _miss(Fraction(most), welfare):
        yield "dual_bound", f"states {most}, but welfare {stated} is not short of it by the share {loss}"


def _miss(best: Fraction, welfare: Fraction) -> Decimal:
    """Return the share of the best that is missing, rounded up to six places."""
    share = (best - welfare) / best if best else Fraction(0)
    context = Context(prec=60, rounding=ROUND_CEILING)
    return context.quantize(context.divide(Decimal(share.numerator), Decimal(share.denominator)), Decimal("0.000001"))
