"""The paper's method: the bridge, its training and the blend of seven numbers.

Arrays in, arrays out: nothing here knows the estimators.
"""
