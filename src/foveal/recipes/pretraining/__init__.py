"""Backbones that learn from scratch, beside a teacher if there is one."""
