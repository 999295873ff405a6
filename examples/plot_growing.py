"""
A new class: by name only, then with shots
==========================================

On Tuesday somebody wants one more class. At first its name is enough. Pictures of it come later.
The old pictures need not be embedded again.
"""

import copy

import matplotlib.pyplot as plt
import numpy as np

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, FewShotClassifier
from sksemobridge.datasets import load_emoji

emoji = load_emoji()
labels = emoji.target_names[emoji.target]
X = CLIPImageEncoder("mini", "bundled").transform(emoji.images)

OLD = [
    "bird",
    "building",
    "clock",
    "clothing",
    "drink",
    "fruit",
    "ground vehicle",
    "mammal",
    "tool",
]
NEW = [
    "arrow",
    "game or toy",
    "heart",
    "media button",
    "prepared food",
    "sky and weather",
    "sport equipment",
]
rng = np.random.default_rng(0)
order = {name: rng.permutation(np.flatnonzero(labels == name)) for name in [*OLD, *NEW]}
shots = np.concatenate([order[name][:8] for name in OLD])
old_queries = np.concatenate([order[name][8:] for name in OLD])

# %% First, a classifier for the old classes. `with_classes` returns a classifier that also knows a
# new class by its name. `partial_fit` adds shots. The result equals that of `fit` on all shots.
before = FewShotClassifier(CLIPTextEncoder("mini", "bundled")).fit(X[shots], labels[shots])


def stages(new):
    """Classifiers that know more and more of a new class."""
    yield "nothing", before
    yield "its name", before.with_classes([*OLD, new])
    growing, seen = copy.deepcopy(before), 0
    for k in (1, 2, 4, 8):
        some = order[new][seen:k]
        growing.partial_fit(X[some], labels[some])
        seen = k
        yield f"{k} shot{'s'[: k > 1]}", growing


# %% How many pictures of the new class are found? How many pictures of the old classes are still
# right? Each of seven classes is the new one in turn.
found, kept = {}, {}
for new in NEW:
    queries = order[new][8:]
    for stage, classifier in stages(new):
        found.setdefault(stage, []).append(np.mean(classifier.predict(X[queries]) == new))
        kept.setdefault(stage, []).append(classifier.score(X[old_queries], labels[old_queries]))
print(f"{'known of it':<12}{'new class found':>18}{'old classes right':>20}")
for stage in found:
    print(f"{stage:<12}{np.mean(found[stage]):>18.0%}{np.mean(kept[stage]):>20.1%}")

figure, ax = plt.subplots(figsize=(8, 4.6), layout="constrained")
for i, shares in enumerate(zip(*found.values())):
    ax.plot(
        list(found),
        shares,
        color="tab:blue",
        alpha=0.3,
        linewidth=1,
        label="each new class" if i == 0 else None,
    )
ax.plot(
    list(found), [np.mean(shares) for shares in found.values()], "o-", label="new class found, mean"
)
ax.plot(
    list(kept),
    [np.mean(shares) for shares in kept.values()],
    "s--",
    label="old classes right, mean",
)
ax.set(ylim=(-0.02, 1.05), xlabel="what is known of the new class", ylabel="share of pictures")
ax.set_title("A class that comes later")
figure.legend(loc="outside lower center", ncols=3)
plt.show()
