"""Reasons, prices to win, relaxations and second bests."""
