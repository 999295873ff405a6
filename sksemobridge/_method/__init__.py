"""The method, in the order of the data.

prompts -> class_texts -> shots -> spans, bridge -> class_means, whitening -> unseen_classes -> affinities ->
out_of_sample -> blend -> typicality, unlabeled -> head; `fit` walks the whole way, and `state` holds what it learns.
Functions and frozen dataclasses on NumPy arrays; no torch.
"""
