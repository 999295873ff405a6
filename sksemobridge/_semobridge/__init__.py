"""The method of the SeMoBridge paper on plain arrays: the bridge, its training, and the score of
three cosines with its seven hyperparameters.
"""
