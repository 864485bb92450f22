"""Use cases of meters: readings, and their allocation to grants."""
