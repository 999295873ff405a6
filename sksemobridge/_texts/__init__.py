"""Texts: from class names to prompts to embeddings, and the directions in which words differ."""
