"""
Save and load
=============

A fitted pipeline holds arrays and parameters, but no weights of CLIP. So files are small. Machines without a GPU can load
them.
"""

import tempfile
from importlib.resources import files
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import numpy as np
import skops.io

from sksemobridge import make_semobridge_pipeline, models, trusted_types
from sksemobridge.datasets import load_emoji

emoji = load_emoji()
labels = emoji.target_names[emoji.target]
rng = np.random.default_rng(0)
shots = np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:4] for c in emoji.target_names])
queries = np.setdiff1d(np.arange(len(labels)), shots)[:50]
pipeline = make_semobridge_pipeline("mini", "bundled").fit(emoji.images[shots], labels[shots])
expected = pipeline.predict_proba(emoji.images[queries])

# %%
# A joblib file can run any program when it is loaded. Load only your own files. A skops file holds no code. It is refused
# if it names a class that is not trusted. ``trusted_types`` lists the classes of this package.
folder = tempfile.TemporaryDirectory()
pickled, opened = Path(folder.name, "pipeline.joblib"), Path(folder.name, "pipeline.skops")
joblib.dump(pipeline, pickled)
skops.io.dump(pipeline, opened)
print("To be trusted:", *skops.io.get_untrusted_types(file=opened), sep="\n  ")
loaded = {pickled: joblib.load(pickled), opened: skops.io.load(opened, trusted=trusted_types())}

# %%
# If you have embeddings, the last step is enough. It predicts without torch and without weights.
classifier = Path(folder.name, "classifier.joblib")
joblib.dump(pipeline[-1], classifier)
loaded[classifier] = joblib.load(classifier)
embeddings = pipeline[:-1].transform(emoji.images[queries])

print(f"\n{'file':<20}{'size':>10}{'largest difference':>20}")
for path, estimator in loaded.items():
    X = embeddings if path == classifier else emoji.images[queries]
    difference = np.abs(estimator.predict_proba(X) - expected).max()
    print(f"{path.name:<20}{path.stat().st_size / 1e3:>7.0f} kB{difference:>20.0e}")

# %%
# The plot compares the files with the weights of the bundled model, which are not in the files.
sizes = {path.name: path.stat().st_size / 1e3 for path in loaded}
sizes["weights of the model"] = sum(file.stat().st_size for file in (files(models) / "mini").iterdir()) / 1e3
folder.cleanup()
figure, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
bars = ax.barh(list(sizes), list(sizes.values()), color=["tab:blue"] * len(loaded) + ["darkgray"])
ax.bar_label(bars, fmt="{:,.0f} kB", padding=3)
ax.set_xlim(right=1.2 * max(sizes.values()))
ax.invert_yaxis()
ax.set(xlabel="kB", title="What a file holds")
plt.show()
