"""The market as an auction or a quote sees it, built from the states of its aggregates."""
