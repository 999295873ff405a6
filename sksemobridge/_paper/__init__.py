"""The paper's method: the bridge, its training and the blend of seven numbers, on plain arrays."""
