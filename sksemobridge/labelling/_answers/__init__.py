"""What persons said: events, the file of them, and what they add up to."""
