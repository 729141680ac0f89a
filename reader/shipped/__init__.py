"""The reader that comes with the package: ``reader.safetensors``, ``reader.json`` and its model card."""
