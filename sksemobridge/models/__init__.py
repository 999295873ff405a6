"""Models shipped in the package."""
