"""How are answers of different passages compared, and how sure is one? Fitted on what a recipe held back."""
