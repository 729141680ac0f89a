"""How is a reader trained? Recipe, examples, losses, and the run."""
