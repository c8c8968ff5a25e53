"""The ground floor: errors, tables, settings, files and listeners. It imports nothing above."""
