"""An issuer's history, and what it says: who owned what, as of any instant and as known at any sequence, and why.

Pure: whoever calls it loads the events. The cap tables of `marketplace.projections` answer the same from rows; here
every number is led back to the events behind it.
"""
