"""
The modality gap in pictures, and what bridges it
=================================================

CLIP puts images and texts into different parts of one space. The image of a cat is closer to the
image of a dog than to the words "a photo of a cat". Two panels show images and texts before and
after a bridge, in the same two principal components. The gap is the distance between the mean image
and the mean text, as unit vectors in the whole space (Liang et al.: "Mind the Gap", NeurIPS 2022).
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, PrecomputedTextEncoder, SemanticBridge
from sksemobridge.datasets import load_emoji


def draw(title, *before_and_after):
    """Panels of pairs of images and texts in one plane."""
    pairs = [[normalize(part) for part in pair] for pair in before_and_after]
    # There are few texts and many images. Texts are repeated, so that both count the same in the
    # PCA.
    plane = PCA(2).fit(
        np.vstack([part for pair in pairs for part in (pair[0], np.resize(pair[1], pair[0].shape))])
    )
    figure, axes = plt.subplots(
        1, 2, figsize=(9, 4.5), sharex=True, sharey=True, layout="constrained"
    )
    figure.suptitle(title)
    for ax, when, (images, texts) in zip(axes, ("before", "after"), pairs):
        ax.scatter(*plane.transform(images).T, s=14, alpha=0.5, linewidths=0, label="images")
        ax.scatter(
            *plane.transform(texts).T, s=60, marker="*", color="tab:red", label="class texts"
        )
        gap = np.linalg.norm(images.mean(axis=0) - texts.mean(axis=0))
        ax.set_title(f"{when} the bridge: gap {gap:.2f}")
        print(f"{title}: gap {gap:.2f} {when} the bridge")
    axes[0].legend()


# %%
# Made-up embeddings
# ------------------
# First, a space in which the gap is easy to see. The last step of the text encoder is a linear map,
# the text projection `W`. In some directions of the space (here 8 of 32), its singular values are
# small, so texts are nearly zero there. Images can lie anywhere. The gap between images and texts
# is in these directions.
rng = np.random.default_rng(0)
directions = np.linalg.qr(rng.normal(size=(32, 32)))[0]
strength = np.r_[np.ones(24), np.full(8, 0.05)]
projection = strength[:, None] * directions.T

names = ["bird", "cat", "dog", "fish", "horse"]
eos = rng.normal(size=32) + 0.7 * rng.normal(size=(len(names), 32))
text_encoder = PrecomputedTextEncoder(names, eos, projection)
texts = text_encoder.transform(names)

meaning = np.repeat(texts, 40, axis=0) + 0.6 * rng.normal(size=(200, 32)) @ projection
images_only = 1.5 * np.linalg.norm(texts[0]) * directions[:, -8:].mean(axis=1) * np.sqrt(8)
images = meaning + images_only + 0.3 * rng.normal(size=(200, 32))

# %% The bridge of the paper is the pseudo-inverse of `W`, followed by `W`. Small singular values
# count as zero. The bridge removes these directions. Texts stay where they are.
bridge = SemanticBridge(text_encoder, vocabulary=None).fit(images)
draw("Made-up embeddings", (images, texts), (bridge.transform(images), texts))

# %%
# The bundled model
# -----------------
# In real models, `W` does not show well where texts lie. So the bridge for search is learnt from
# words. It keeps the directions in which the embeddings of some thousand names of things differ,
# and subtracts the mean image. Texts minus their mean lie in the same directions. After this, the
# gap is small.
emoji = load_emoji()
images = CLIPImageEncoder("mini", "bundled").transform(emoji.images[::3])
text_encoder = CLIPTextEncoder("mini", "bundled")
texts = text_encoder.transform([f"a picture of a {name}." for name in emoji.target_names])
bridge = SemanticBridge(text_encoder).fit(images)
bridged_texts = (normalize(texts) - normalize(texts).mean(axis=0)) @ bridge.bridge_
draw(
    "Pictures and classes of the bundled model",
    (images, texts),
    (bridge.transform(images), bridged_texts),
)
plt.show()
