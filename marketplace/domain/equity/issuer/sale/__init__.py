"""The sale of an issuer and its payouts."""
