"""
Calibrated probabilities, and abstaining
========================================

Take all pictures with a probability of about 70 %. If about 70 % of these predictions are right,
the probabilities are calibrated. Then they show which pictures a person should look at. Our
classifiers calibrate their probabilities on the shots.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibrationDisplay

from sksemobridge import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    FewShotClassifier,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
)
from sksemobridge.datasets import load_emoji

emoji = load_emoji()
labels = emoji.target_names[emoji.target]
X = CLIPImageEncoder("mini", "bundled").transform(emoji.images)
rng = np.random.default_rng(0)
shots = np.concatenate(
    [rng.permutation(np.flatnonzero(labels == c))[:8] for c in emoji.target_names]
)
queries = np.setdiff1d(np.arange(len(labels)), shots)

# %% We compare zero-shot, the score of the paper, and `FewShotClassifier`. For each prediction we
# need two things: the probability of the predicted class, and whether it is right.
text_encoder = CLIPTextEncoder("mini", "bundled")
classifiers = {
    "zero-shot": ZeroShotClassifier(text_encoder),
    "SeMoBridge, as in the paper": SeMoBridgeClassifier(text_encoder, temperature=None),
    "FewShotClassifier": FewShotClassifier(text_encoder),
}
confidence, right = {}, {}
for name, classifier in classifiers.items():
    classifier.fit(X[shots], labels[shots])
    confidence[name] = classifier.predict_proba(X[queries]).max(axis=1)
    right[name] = classifier.predict(X[queries]) == labels[queries]

# %% Left: the reliability diagram of scikit-learn. Right: only pictures with the highest
# probabilities get an answer, and the curve shows how many answers are right.
figure, (left, right_panel) = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
for name in classifiers:
    CalibrationDisplay.from_predictions(
        right[name], confidence[name], n_bins=8, strategy="quantile", name=name, ax=left
    )
    order = np.argsort(-confidence[name], kind="stable")
    answered = np.arange(1, len(order) + 1)
    right_panel.plot(answered / len(order), np.cumsum(right[name][order]) / answered, label=name)
left.set(
    title="Reliability", xlabel="probability of the predicted class", ylabel="share that is right"
)
left.legend(loc="lower right", fontsize="small")
right_panel.set(
    title="Abstaining",
    xlabel="share of pictures that is answered",
    ylabel="right among them",
    ylim=(0, 1),
)
right_panel.legend(loc="lower left", fontsize="small")
plt.show()

# %% Pictures below a threshold get no answer. If probabilities are calibrated, they predict how
# many answers will be right.
print(f"{'':<28}{'threshold':>10}{'answered':>10}{'expected':>10}{'right':>8}")
for name in classifiers:
    for threshold in (0.0, 0.5, 0.8):
        sure = confidence[name] >= threshold
        if sure.any():
            expected, true = confidence[name][sure].mean(), right[name][sure].mean()
            print(f"{name:<28}{threshold:>10.1f}{sure.mean():>10.0%}{expected:>10.0%}{true:>8.0%}")
        else:
            print(f"{name:<28}{threshold:>10.1f}{'none':>10}")
