"""Market data with its history: fills and their index, list prices to compare, and the curves of auctions."""

from marketplace.projections.trading.market.projection import PROJECTION
from marketplace.projections.trading.market.queries import list_list_prices, load_curves, load_index, load_listed

__all__ = ["PROJECTION", "list_list_prices", "load_curves", "load_index", "load_listed"]
