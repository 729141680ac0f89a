"""Which exit code an ending has; the table is in docs/cli.md."""

OK = 0
NEGATIVE = 1
"""A result, but a negative one: no answer, damage found, below --fail-under."""
USAGE = 2
RUNTIME = 3
STORE = 4
"""The store is missing, unusable, or of another format or encoder."""
LOCKED = 5
INTERRUPTED = 130
