"""Metering: readings, corrections, allocation to grants, and contradictions between meters."""
