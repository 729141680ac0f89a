"""How good is the reader, and how was it made? Training, recipes, and the figures of the paper."""
