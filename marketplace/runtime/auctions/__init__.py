"""Run auctions, from the frozen book to the published result, in engine processes."""
