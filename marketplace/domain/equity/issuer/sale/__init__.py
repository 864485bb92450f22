"""The sale of an issuer and what it pays to whom."""
