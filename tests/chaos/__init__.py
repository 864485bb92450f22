"""Fault runs on real processes: ``python -m tests.chaos`` breaks one thing after the other under load, and audits."""
