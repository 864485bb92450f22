"""Open Cap Table Format 1.2.0: export, check and import of packages.

An export renders an issuer's history as objects of the format. A sidecar file beside them keeps what the format cannot
express, so that importing an exported package loses nothing. A package from another system is read strictly: each error
and each loss is reported by file, item and reason, and nothing is guessed.
"""
