"""State in one line what uniform prices cost, for every command that shows a certificate."""

from decimal import Decimal
from typing import Literal, Protocol

from marketplace.clearing.money import ratio_up


class Stated(Protocol):
    """What the certificates of the engine and of an event state about prices."""

    @property
    def welfare_usd(self) -> Decimal:
        """The welfare that was cleared."""
        ...

    @property
    def price_loss_max(self) -> Decimal | None:
        """The most that uniform prices cost, as a share of the best welfare without them; None if not stated."""
        ...

    @property
    def price_loss_kind(self) -> Literal["optimum", "lp_bound"] | None:
        """``optimum`` if the best welfare is proven, ``lp_bound`` if the bound stands for it; None if not stated."""
        ...

    @property
    def dual_bound_usd(self) -> Decimal | None:
        """The proven upper bound of that best welfare; None if not stated."""
        ...


def render_price_loss(certificate: Stated) -> str:
    """Return the most that prices cost, and what proves it."""
    share, most = certificate.price_loss_max, certificate.dual_bound_usd
    if share is None:
        return "not stated"
    if certificate.price_loss_kind == "optimum":
        return f"at most {100 * share:.4f} %, by the proven optimum"
    if most is None:
        return f"at most {100 * share:.4f} %, by the bound"
    return f"at most {100 * ratio_up(most - certificate.welfare_usd, most):.4f} %, by the dual bound of {most:,.2f} USD"
