"""Use cases: one function per command. It covers all aggregates that the command touches, in one atomic append.

Each function takes the handler and the context of the request, and returns the receipt. Ids of what it creates derive
from the command's id, so that a repeated command creates nothing new. Another tenant's id is treated as unknown.
"""
