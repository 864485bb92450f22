"""Options and warrants of an issuer, and when they vest."""
