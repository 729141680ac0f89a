"""How is a reader trained? Recipe, examples, losses, the run."""
