"""
Search the paper's seven numbers with Optuna
============================================

The paper tunes seven hyperparameters with Optuna on a validation split. This example uses cross-validation on the shots
instead.
"""

import matplotlib.pyplot as plt
import numpy as np
import optuna
from sklearn.model_selection import cross_val_score

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, PaperBlend, SeMoBridgeClassifier
from sksemobridge.datasets import load_emoji

emoji = load_emoji()
labels = emoji.target_names[emoji.target]
rng = np.random.default_rng(0)
shots = np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:8] for c in emoji.target_names])
X, y = CLIPImageEncoder("mini", "bundled").transform(emoji.images[shots]), labels[shots]


def objective(trial):
    params = {name: trial.suggest_float(name, 0, 10) for name in ("alpha", "beta", "gamma")}
    params |= {name: trial.suggest_float(name, 0.01, 1) for name in ("lambda1", "lambda2", "lambda3")}
    params["smoothness"] = trial.suggest_float("smoothness", 0, 1.5)
    classifier = SeMoBridgeClassifier(CLIPTextEncoder("mini", "bundled"), blend=PaperBlend(**params))
    return cross_val_score(classifier, X, y, cv=4).mean()


optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
study.optimize(objective, n_trials=40)
print(f"accuracy on held-out shots {study.best_value:.3f} with")
for name, value in study.best_params.items():
    print(f"  {name} = {value:.2f}")

# %%
# Each trial, and the best so far.
values = [trial.value for trial in study.trials]
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
ax.plot(values, "o", color="darkgray", label="trial")
ax.step(range(len(values)), np.maximum.accumulate(values), where="post", label="best so far")
ax.set(xlabel="trial", ylabel="accuracy on held-out shots", title="A search over the paper's blend")
ax.legend(loc="lower right")
plt.show()
