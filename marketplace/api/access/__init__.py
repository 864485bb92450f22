"""Routes of parties and API keys."""
