"""
Search parameters without embedding again
=========================================

Images are embedded once; the search runs on the embeddings.
"""

import numpy as np
from sklearn.model_selection import GridSearchCV

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, SeMoBridgeClassifier
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
        {"blend": ["paper"], "alpha": [1.0, 10.0], "beta": [1.0, 10.0], "lambda2": [0.2, 0.8]},
    ],
    scoring="neg_log_loss",
    cv=4,
)
search.fit(X, y)
for i in np.argsort(search.cv_results_["rank_test_score"])[:3]:
    print(f"log loss {-search.cv_results_['mean_test_score'][i]:.3f}  {search.cv_results_['params'][i]}")
