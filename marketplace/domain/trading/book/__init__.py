"""What an auction or a quote sees of the market, built from the states of its aggregates."""
