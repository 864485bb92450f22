"""Trading: orders, quotes, auctions and mandates."""
