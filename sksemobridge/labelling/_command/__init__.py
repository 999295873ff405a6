"""What a user asks: `label_folder` in Python, the command and its options, and the run of both."""
