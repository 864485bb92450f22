"""Quotes: prepared books that follow the log and answer many quotes."""
