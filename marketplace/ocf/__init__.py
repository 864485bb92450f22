"""Open Cap Table Format 1.2.0: packages out, packages in, and what is wrong with one.

An issuer's history is rendered as the objects of the format, and beside them a sidecar keeps what the format cannot
say, so that our own round trip loses nothing. A package of others is read strictly: what is wrong or cannot be kept is
reported by file, item and reason, and nothing is guessed.
"""
