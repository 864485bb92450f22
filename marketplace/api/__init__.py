"""The HTTP API: one module per feature."""
