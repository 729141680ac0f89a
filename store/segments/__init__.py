"""The segments of a store: files that are written once, read by mapping, and never changed."""
