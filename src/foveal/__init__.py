"""Foveal."""
