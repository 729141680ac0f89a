"""What stands on a terminal: streams that make foreign text harmless, and bars of progress."""
