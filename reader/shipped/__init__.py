"""The reader that comes with the package: weights, their description, the model card."""

from pathlib import Path

SHIPPED = Path(__file__).parent
