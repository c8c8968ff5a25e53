"""Fitting heads (and, later, networks) to features."""
