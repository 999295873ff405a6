"""
A grid over solvers and numbers
===============================

All parameters of `SeMoBridgeClassifier` are flat, so the searches of scikit-learn and others go
over them: which solver, how much the shots count, and how the bridge is trained.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, StratifiedKFold

from sksemobridge import SeMoBridgeClassifier, make_semobridge_pipeline
from sksemobridge.datasets import load_emoji

CLASSES = ["bird", "building", "clock", "fruit", "mammal", "tool"]
emoji = load_emoji()
labels = emoji.target_names[emoji.target]
rng = np.random.default_rng(0)
rows = [rng.permutation(np.flatnonzero(labels == c)) for c in CLASSES]
shots = np.concatenate([of_class[:9] for of_class in rows])
queries = np.concatenate([of_class[9:] for of_class in rows])

# %% A pipeline begins with the pictures. The encoder remembers their embeddings, so each picture is
# embedded once, however many candidates and folds there are.
pipeline = make_semobridge_pipeline("mini", "bundled", tol=1e-3)
images = [emoji.images[i] for i in shots]
folds = StratifiedKFold(3, shuffle=True, random_state=0)
WEIGHTS = [0.001, 0.01, 0.1, 1.0]
CONSISTENCY = [0.0, 0.1, 0.5]
grid = [
    {"semobridgeclassifier__solver": ["closed_form"], "semobridgeclassifier__lambda2": WEIGHTS},
    {"semobridgeclassifier__solver": ["lbfgs"], "semobridgeclassifier__lambda_c": CONSISTENCY},
]
search = GridSearchCV(pipeline, grid, cv=folds).fit(images, labels[shots])
print("best of the grid:", search.best_params_)
print(f"right: {search.score([emoji.images[i] for i in queries], labels[queries]):.1%}")

# %% With embeddings the same search needs no pipeline. Halving gives all candidates few shots, and
# only the better ones more.
X, y = pipeline[0].transform(images), labels[shots]
classifier = SeMoBridgeClassifier(pipeline[-1].text_encoder)
halving = HalvingGridSearchCV(
    classifier, {"lambda2": WEIGHTS, "lambda3": WEIGHTS}, cv=3, min_resources=27, random_state=0
).fit(X, y)
print("best by halving:", halving.best_params_)

# %% How much do the candidates differ? The bars are standard errors over the folds.
results = search.cv_results_
mean, error = results["mean_test_score"], results["std_test_score"] / np.sqrt(folds.n_splits)
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True, layout="constrained")
for ax, values, rows, title, name in zip(
    axes,
    (WEIGHTS, CONSISTENCY),
    (slice(0, len(WEIGHTS)), slice(len(WEIGHTS), None)),
    ("SeMoBridge (closed form)", "SeMoBridge-T (trained)"),
    ("lambda2, weight of the bridged shots", "lambda_c, weight of the consistency"),
):
    ax.errorbar(range(len(values)), mean[rows], error[rows], fmt="o-", capsize=3)
    ax.set_xticks(range(len(values)), values)
    ax.set(title=title, xlabel=name)
axes[0].set_ylabel("share of held-out shots that is right")
plt.show()
