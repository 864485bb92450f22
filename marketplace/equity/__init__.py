"""Exact equity mathematics on plain values: conversions, rounds, waterfalls."""
