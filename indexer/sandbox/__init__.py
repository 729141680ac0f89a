"""The process beside the indexer that reads foreign files under limits."""
