"""The command that labels a folder of images: its tables and answers, and the page of the
labels.
"""
