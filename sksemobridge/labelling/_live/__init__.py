"""The live page: actions of persons, what the model learns from them, and what the page shows."""
