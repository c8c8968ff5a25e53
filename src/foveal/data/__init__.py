"""The dataset as a table: reading, checking and splitting it."""
