"""Shared by all routes: server, keys, limits, bodies, commands, queries, problems."""
