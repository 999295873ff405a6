"""
Search parameters without embedding again
=========================================

Images are embedded once. The grid search uses the embeddings.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, PaperBlend, SeMoBridgeClassifier
from sksemobridge.datasets import load_emoji

emoji = load_emoji()
labels = emoji.target_names[emoji.target]
rng = np.random.default_rng(0)
shots = np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:8] for c in emoji.target_names])
X, y = CLIPImageEncoder("mini", "bundled").transform(emoji.images[shots]), labels[shots]

search = GridSearchCV(
    SeMoBridgeClassifier(CLIPTextEncoder("mini", "bundled")),
    [
        {"blend": ["auto"], "vocabulary": ["auto", None]},
        {
            "blend": [PaperBlend()],
            "blend__alpha": [2.0, 6.0],
            "blend__beta": [1.0, 10.0],
            "blend__lambda2": [0.25, 0.8],
        },
    ],
    scoring="neg_log_loss",
    cv=4,
)
search.fit(X, y)

# %%
# A smaller log loss is better. The method of the paper depends on its hyperparameters. `blend="auto"` has none.
best = np.argsort(search.cv_results_["rank_test_score"])[:8]
losses = -search.cv_results_["mean_test_score"][best]
params = [", ".join(f"{k}={v}" for k, v in search.cv_results_["params"][i].items()) for i in best]
for loss, chosen in zip(losses, params):
    print(f"log loss {loss:.3f}  {chosen}")
figure, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
ax.barh(params, losses, color=["tab:blue" if "auto" in chosen else "darkgray" for chosen in params])
ax.invert_yaxis()
ax.set(xlabel="log loss of held-out shots", title="The best of a grid")
plt.show()
