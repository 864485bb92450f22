"""Market data with its history: fills and the index made of them, list prices beside it, and the curves of auctions."""

from marketplace.projections.market.projection import PROJECTION

__all__ = ["PROJECTION"]
