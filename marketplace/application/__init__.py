"""What users may ask for: one function per command, over all the aggregates that it touches, in one atomic append.

Each function takes the handler and the context of the request, and returns the receipt. What it creates derives its
id from the command's, so that a repeated command creates nothing new. Ids of other tenants are unknown here.
"""
