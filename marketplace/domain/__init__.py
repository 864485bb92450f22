"""The rules of the market: one decider per aggregate."""
