"""A book solved once and asked many times."""
