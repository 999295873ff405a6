"""The default classifier: class texts and labelled images to one linear model, as pure functions on
arrays.
"""
