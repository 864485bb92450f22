"""Alembic migrations of every table that the marketplace owns."""
