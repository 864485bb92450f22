"""Checks the shares that a certificate states against its welfare and bound, in fractions only.

What prices cost is a share of an optimum that the verifier does not know. It checks what follows from the certificate
alone: nobody can lose less than nothing or more than the gap, and where the bound stands for the optimum the share is
the gap. That a lower share is right, only running the engine again shows.
"""

from collections.abc import Iterator
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction

from marketplace.clearing.model import Certificate


def find_wrong_shares(certificate: Certificate) -> Iterator[tuple[str, str]]:
    """Walk the codes of wrong shares, `gap` and `price_loss`, each with a sentence."""
    bound, welfare = Fraction(certificate.lp_bound_usd), Fraction(certificate.welfare_usd)
    share = (bound - welfare) / bound if bound else Fraction(0)
    context = Context(prec=60, rounding=ROUND_CEILING)
    gap = context.quantize(context.divide(Decimal(share.numerator), Decimal(share.denominator)), Decimal("0.000001"))
    if gap != certificate.gap:
        yield "gap", f"states {certificate.gap}, it is {gap}"
    loss, kind = certificate.price_loss_max, certificate.price_loss_kind
    if (loss is None) != (kind is None):
        yield "price_loss", f"states the share {loss} and the kind {kind}; expected both or neither"
    elif loss is not None and not 0 <= loss <= gap:
        yield "price_loss", f"states {loss}, which is not between 0 and the gap {gap}"
    elif loss is not None and kind == "lp_bound" and loss != gap:
        yield "price_loss", f"states {loss} by the bound, which proves {gap}"
