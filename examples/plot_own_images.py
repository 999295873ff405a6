"""
Your own folder, your own data frame
====================================

Images are usually files in folders, or paths in a table. The pipeline takes both.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import cross_val_predict, cross_val_score

from sksemobridge import make_semobridge_pipeline
from sksemobridge.datasets import load_emoji, load_image_folder

# %%
# This example makes a folder from the pictures in the package. It has one sub-folder for each class. The name of the
# sub-folder is the name of the class. If you have a folder of your own, begin at the next step.
temporary = tempfile.TemporaryDirectory()
root = Path(temporary.name)
emoji = load_emoji()
for name in ("bird", "clock", "clothing", "drink", "fruit", "ground vehicle", "mammal"):
    (root / "pictures" / name).mkdir(parents=True)
    for i in np.flatnonzero(emoji.target_names[emoji.target] == name)[:12]:
        Image.fromarray(emoji.images[i]).save(root / "pictures" / name / f"{emoji.names[i]}.png")

# %%
# A folder
# --------
# The pipeline takes paths, and returns labels. The cache keeps every embedding. So the folds below and the next run
# embed no image again.
folder = load_image_folder(root / "pictures")
labels = folder.target_names[folder.target]
pipeline = make_semobridge_pipeline("mini", "bundled", encoder_params={"cache": root / "embeddings"})
scores = cross_val_score(pipeline, folder.paths, labels, cv=4)
print(f"{len(labels)} pictures, {scores.mean():.1%} ± {scores.std():.1%} right in four folds")

# %%
# A data frame
# ------------
# The images are in one column. Other columns are not used.
frame = pd.DataFrame({"image": folder.paths, "label": labels})
known = frame.groupby("label").head(3)
unknown = frame.drop(known.index)
pipeline.fit(known["image"], known["label"])
probability = pipeline.predict_proba(unknown["image"])
unknown = unknown.assign(predicted=pipeline.predict(unknown["image"]), probability=probability.max(axis=1))
print(unknown.assign(image=unknown["image"].map(lambda path: Path(path).name)).head(8).to_string(index=False))

# %%
# Which classes are confused? Each picture is predicted by a pipeline that has not seen it.
predicted = cross_val_predict(pipeline, folder.paths, labels, cv=4)
figure, ax = plt.subplots(figsize=(6.5, 6), layout="constrained")
ConfusionMatrixDisplay.from_predictions(
    labels, predicted, ax=ax, xticks_rotation="vertical", cmap="Blues", colorbar=False
)
ax.set_title("Four folds of a folder of pictures")
plt.show()
temporary.cleanup()
