"""Routes of orders, quotes, auctions, mandates and market data."""
