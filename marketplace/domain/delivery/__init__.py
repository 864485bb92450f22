"""Capacity that was awarded: grants, their periods, failures that are detected, and how reliable providers are."""
