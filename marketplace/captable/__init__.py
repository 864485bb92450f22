"""Cap tables from an issuer's history: who owned what at an instant, as the log knew it at a sequence, and why.

Pure: the caller loads the events. The cap tables of `marketplace.projections` answer the same from rows; here every
number is explained by its events.
"""
