"""What does the network compute? Tokenising and passage borders, the split transformer, spans, model files."""
