"""The method, in the order of the data.

prompts -> class_texts -> shots -> bridge -> affinities, whitening -> out_of_sample -> blend -> unseen_classes ->
head; `fit` walks the whole way. Functions and frozen dataclasses on NumPy arrays; no torch.
"""
