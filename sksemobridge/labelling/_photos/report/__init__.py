"""The page of the labels: one file for any browser."""
