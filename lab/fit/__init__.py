"""How are answers of different passages compared, and how sure is one? Fitted on questions that a recipe held back."""
