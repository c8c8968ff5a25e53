"""Heads on cached features: numpy alone, no torch."""
