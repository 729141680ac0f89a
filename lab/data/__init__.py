"""Data sets of the field, read as checked records."""
