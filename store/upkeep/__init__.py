"""The upkeep of a store: merging, new vector indexes, verification, repair, export and import."""
