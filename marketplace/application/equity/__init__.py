"""Use cases of instruments and issuers."""
