"""Who wants what at which price: orders, quotes, auctions and mandates."""
