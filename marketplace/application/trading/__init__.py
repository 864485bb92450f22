"""Use cases of orders, quotes, auctions, mandates and resale."""
