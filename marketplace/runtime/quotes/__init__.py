"""Quotes: prepared books that follow the log, asked many times."""
