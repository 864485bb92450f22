"""Holds every command of these tests to the list of what it may only look at."""

from tests.support.market.look_check import unlisted_looks

__all__ = ["unlisted_looks"]
