"""What every route shares: server, keys, limits, bodies, commands, queries, problems."""
