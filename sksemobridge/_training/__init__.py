"""Training the bridge from labelled shots: the loss, its minimisation, and the paper's recipe."""
