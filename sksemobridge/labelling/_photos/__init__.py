"""The folder of a user: reading it, learning from it, its labels, and the files that hold these."""
