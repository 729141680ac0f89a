"""The split transformer as torch modules; training and torch's engine need them, asking does not."""
