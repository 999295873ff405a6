"""Pages in a browser: one file with the labels, and the live page."""
