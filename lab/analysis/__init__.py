"""What does the split cost, what does it save, and why? The figures and tables of the paper, for any model and data."""
