"""Says in one line what uniform prices cost, the same wherever a certificate is shown."""

from decimal import Decimal
from typing import Literal, Protocol

from marketplace.clearing.money import ratio_up


class Stated(Protocol):
    """What certificates state about prices, of the engine and of an event alike."""

    @property
    def welfare_usd(self) -> Decimal:
        """What was cleared."""
        ...

    @property
    def price_loss_max(self) -> Decimal | None:
        """What is missing at most of the best welfare that prices need not suit; None where it is not stated."""
        ...

    @property
    def price_loss_kind(self) -> Literal["optimum", "lp_bound"] | None:
        """Whether the engine proved that welfare, or the bound stands for it."""
        ...

    @property
    def dual_bound_usd(self) -> Decimal | None:
        """What the engine proved that welfare not to exceed; None where it is not stated."""
        ...


def render_price_loss(certificate: Stated) -> str:
    """Return what prices cost at most and what proves it."""
    share, most = certificate.price_loss_max, certificate.dual_bound_usd
    if share is None:
        return "not stated"
    if certificate.price_loss_kind == "optimum":
        return f"at most {100 * share:.4f} %, by the proven optimum"
    if most is None:
        return f"at most {100 * share:.4f} %, by the bound"
    return f"at most {100 * ratio_up(most - certificate.welfare_usd, most):.4f} %, by the dual bound of {most:,.2f} USD"
