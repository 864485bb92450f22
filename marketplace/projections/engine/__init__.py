"""How projections are run: read, apply, rebuild, verify, wait for a position."""
