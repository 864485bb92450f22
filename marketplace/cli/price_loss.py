"""Says in one line what uniform prices cost, the same wherever a certificate is shown."""

from decimal import Decimal


def render_price_loss(share: Decimal | None, kind: str | None) -> str:
    """Return what prices cost at most and what proves it.

    Args:
        share: Of the best welfare that prices need not suit; None where the certificate does not state it.
        kind: "optimum" where the engine proved that welfare, "lp_bound" where the bound stands for it.
    """
    if share is None:
        return "not stated"
    proof = "by the proven optimum" if kind == "optimum" else "by the bound"
    return f"at most {100 * share:.4f} %, {proof}"
