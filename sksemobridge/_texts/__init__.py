"""What is said: names of classes to prompts to embeddings, and the directions in which words differ."""
