"""Tables of orders, auctions, quotes, mandates and market data."""
