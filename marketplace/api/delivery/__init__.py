"""Routes of grants."""
