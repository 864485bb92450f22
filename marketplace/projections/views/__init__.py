"""Answers of queries, by room. The typed client uses them too, so no module here imports a table."""
