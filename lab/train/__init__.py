"""How is a reader trained? Recipe, examples, losses, the run. Imports only torch, transformers and safetensors."""
