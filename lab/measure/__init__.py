"""What answers are worth: figures of readers, of retrieval, of the whole path, and of a user's own questions."""
