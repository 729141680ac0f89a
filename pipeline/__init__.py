"""How does a question become answers? Retrieval, joint reading, ranking; what is measured on the whole path."""
