"""Equity: a holder's portfolio, cap tables, rounds and sales, and proposals that wait for agreement."""
