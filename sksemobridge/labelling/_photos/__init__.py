"""From a folder of images to a table: the command, its tables and answers, and the page of the
labels.
"""
