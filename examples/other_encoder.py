"""
Any image encoder: a network of torchvision
===========================================

A classifier needs embeddings, but not from CLIP. Here they come from a ResNet of torchvision
without its last layer. No names are used. The weights are random, so nothing is downloaded.
`weights="DEFAULT"` loads those of ImageNet.
"""

# sphinx_gallery_thumbnail_path = "generated/cards/other_encoder.png"

import numpy as np
import torch
import torchvision
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksemobridge import CLIPImageEncoder, FewShotClassifier
from sksemobridge.datasets import load_emoji

torch.manual_seed(0)
resnet = torchvision.models.resnet18(weights=None).eval()
resnet.fc = torch.nn.Identity()


def embed(images):
    with torch.inference_mode():
        return resnet(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).numpy()


# %%
# A function can be the encoder in a pipeline. `class_names="ignore"` uses no names.
pipeline = make_pipeline(FunctionTransformer(embed), FewShotClassifier(class_names="ignore"))

emoji = load_emoji()
labels = emoji.target_names[emoji.target]
kinds = np.flatnonzero(
    np.isin(labels, ["clock", "heart", "concerned face", "building", "clothing"])
)
rng = np.random.default_rng(0)
shots = np.concatenate(
    [rng.permutation(kinds[labels[kinds] == name])[:4] for name in np.unique(labels[kinds])]
)
queries = np.setdiff1d(kinds, shots)
pipeline.fit(emoji.images[shots], labels[shots])

# %% Compare with logistic regression on the same embeddings, and with the bundled CLIP model
# without texts.
X, X_queries = (pipeline[:-1].transform(emoji.images[rows]) for rows in (shots, queries))
regression = LogisticRegression(max_iter=1000).fit(X, labels[shots])
clip = CLIPImageEncoder("mini", pretrained="bundled")
scores = {
    "random ResNet": pipeline[-1].score(X_queries, labels[queries]),
    "random ResNet, LogisticRegression": regression.score(X_queries, labels[queries]),
    "CLIP without text": make_pipeline(clip, FewShotClassifier(class_names="ignore"))
    .fit(emoji.images[shots], labels[shots])
    .score(emoji.images[queries], labels[queries]),
}
print(f"Five kinds, four shots each, {len(queries)} pictures; chance is 20 %.")
for name, score in scores.items():
    print(f"{name:36}{score:6.1%}")
