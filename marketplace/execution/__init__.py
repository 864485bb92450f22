"""How a command runs: load, decide, append, answer; caches, deduplication, snapshots, and the market clock."""
