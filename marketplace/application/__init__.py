"""Use cases: one function per command. It covers all aggregates that the command touches, in one atomic append.

Each function takes the handler and the context of the request, and returns the receipt. Ids of what it creates derive
from the command's id, so that a repeated command creates nothing new. Another tenant's id is treated as unknown.

`Raises` names the refusals of the use case. "Refusals of the grant" and the like are those that the decider of that
aggregate lists in its module. Every use case may also raise ``<kind>_unknown`` for the ids that it takes, those of
`steps/access.py`, and what `Handler.run` raises.
"""
