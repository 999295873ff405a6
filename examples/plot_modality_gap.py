"""
The idea in pictures: the modality gap, and what bridges it
===========================================================

CLIP puts images and texts into one space, but apart: even the image of a cat is nearer to the image of a dog than to
the words "a photo of a cat". CLIP never learnt to compare two images. SeMoBridge maps an image to where its text
would be, so that images are compared with each other as CLIP is used to: across modalities.
"""

import matplotlib.pyplot as plt
import numpy as np

from sksemobridge import (
    ModalityGapDisplay,
    PrecomputedTextEncoder,
    SeMoBridgeClassifier,
    make_semobridge_pipeline,
)
from sksemobridge.datasets import load_emoji

# %%
# Made-up embeddings
# ------------------
# First a space in which the gap is plain to see. Texts leave the text tower through a linear map, the text projection
# `W`. It hardly uses some directions of the space, here 8 of 32: its singular values are small there. Images may lie
# anywhere, so a part of them no text can reach, and the distance between the two modalities is in that part.
rng = np.random.default_rng(0)
directions = np.linalg.qr(rng.normal(size=(32, 32)))[0]
strength = np.r_[np.ones(24), np.full(8, 0.05)]
projection = strength[:, None] * directions.T

names = ["bird", "cat", "dog", "fish", "horse"]
common = rng.normal(size=32)
eos = common + 0.7 * rng.normal(size=(len(names), 32))
text_encoder = PrecomputedTextEncoder(names, eos, projection)
texts = eos @ projection

labels = np.repeat(names, 40)
meaning = np.repeat(texts, 40, axis=0) + 0.6 * rng.normal(size=(len(labels), 32)) @ projection
of_images_only = 1.5 * np.linalg.norm(texts[0]) * directions[:, -8:].mean(axis=1) * np.sqrt(8)
images = meaning + of_images_only + 0.3 * rng.normal(size=(len(labels), 32))

# %%
# The paper's bridge is the pseudo-inverse of `W` followed by `W`, where small singular values count as zero. It takes
# away what no text can say. Texts stay where they are.
classifier = SeMoBridgeClassifier(text_encoder, prompts="{}").fit(images[::10], labels[::10])
print(f"The bridge keeps {classifier.rank_} of {classifier.n_features_in_} directions.")
display = ModalityGapDisplay.from_estimator(classifier, images)
display.figure_.suptitle("Made-up embeddings")
print(f"gap {display.gap:.2f} before the bridge, {display.bridged_gap:.2f} after it")

# %%
# The bundled model
# -----------------
# In real models `W` tells little of where texts are. The bridge of this package is learnt from words: it keeps the
# directions in which the embeddings of some thousand names of things differ, and takes off the mean of each modality,
# of the images and of the texts. What is left of the gap is small, and images of a class lie around its text.
emoji = load_emoji()
shots = np.concatenate([np.flatnonzero(emoji.target == code)[:4] for code in range(len(emoji.target_names))])
pipeline = make_semobridge_pipeline("mini", "bundled")
pipeline.fit(emoji.images[shots], emoji.target_names[emoji.target[shots]])
print(f"The bridge keeps {pipeline[-1].rank_} of {pipeline[-1].n_features_in_} directions.")
display = ModalityGapDisplay.from_estimator(pipeline, emoji.images[::3])
display.figure_.suptitle("Pictures and classes of the bundled model")
print(f"gap {display.gap:.2f} before the bridge, {display.bridged_gap:.2f} after it")
plt.show()
