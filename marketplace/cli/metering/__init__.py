"""Readers of other systems' files about GPUs."""
