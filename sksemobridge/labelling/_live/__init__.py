"""The live page: what persons do, what the model learns from it, and what they are shown."""
