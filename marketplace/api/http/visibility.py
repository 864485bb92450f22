"""Who sees which members of orders, decisions, grants and statements, on their own routes and when expanded."""

from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec

from marketplace.projections.views.billing import StatementView
from marketplace.projections.views.delivery import GRANT_PARTIES, GrantView
from marketplace.projections.views.trading import DecisionView, OrderView

V = TypeVar("V", bound=msgspec.Struct)


@dataclass(frozen=True, kw_only=True)
class Visibility(Generic[V]):
    """Who sees a kind of view: the platform, and the parties that it names.

    Attributes:
        aggregate: The kind; an unknown id is refused as ``<aggregate>_unknown``.
        feature: The feature whose read scope a key needs.
        sealed: Whether a key of the platform also needs ``orders:sealed``.
        parties: Members that name the parties who see the view.
        limited: One of these members. Its party does not see `hidden`, unless another member names it too.
        hidden: Members that are null or empty for that party.
    """

    aggregate: str
    feature: str
    sealed: bool = False
    parties: tuple[str, ...]
    limited: str | None = None
    hidden: tuple[str, ...] = ()

    def show(self, view: V, party_id: str | None) -> V | None:
        """Return what a party sees of a view; None if it sees nothing. The platform's `party_id` is None."""
        if party_id is None:
            return view
        naming = {name for name in self.parties if getattr(view, name) == party_id}
        if not naming:
            return None
        if naming != {self.limited}:
            return view
        values: dict[str, Any] = {name: () if isinstance(getattr(view, name), tuple) else None for name in self.hidden}
        return msgspec.structs.replace(view, **values)


ORDER: Final = Visibility[OrderView](aggregate="order", feature="orders", sealed=True, parties=("startup_id",))
DECISION: Final = Visibility[DecisionView](aggregate="order", feature="orders", sealed=True, parties=("startup_id",))
GRANT: Final = Visibility[GrantView](
    aggregate="grant",
    feature="grants",
    parties=GRANT_PARTIES,
    limited="startup_id",
    hidden=(
        "price_usd_per_gpu_hour",
        "cash_share",
        "startup_account_id",
        "hold_id",
        "cash_commitment_usd",
        "equity",
        "resale",
        "resold",
        "ends",
        "stages",
        "stage",
    ),
)
STATEMENT: Final = Visibility[StatementView](
    aggregate="statement", feature="statements", parties=("startup_id", "provider_id", "holder_id")
)
