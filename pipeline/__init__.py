"""How does a question become answers? By retrieval, joint reading and ranking."""
