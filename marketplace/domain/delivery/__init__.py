"""Awarded capacity: grants, their periods, detection of failures, and the reliability of providers."""
