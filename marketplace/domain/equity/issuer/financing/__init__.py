"""Priced rounds of an issuer."""
