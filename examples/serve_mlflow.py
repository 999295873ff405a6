"""
Log, load and serve with MLflow
===============================

`mlflow.sklearn` can save a fitted estimator in the format of skops, which holds no code.
`trusted_types` lists the classes of this package that must be trusted.
"""

# sphinx_gallery_thumbnail_path = "generated/cards/serve_mlflow.png"

import json
import logging
import tempfile
from pathlib import Path

import mlflow
import numpy as np
from fastapi.testclient import TestClient
from mlflow.pyfunc.scoring_server import init as make_server

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, FewShotClassifier, trusted_types
from sksemobridge.datasets import load_emoji

logging.getLogger("mlflow").setLevel(logging.ERROR)

# %% Fit a classifier of embeddings. (A whole pipeline is logged the same way. Then requests contain
# paths of images.)
emoji = load_emoji()
labels = emoji.target_names[emoji.target]
embeddings = CLIPImageEncoder("mini", pretrained="bundled").transform(emoji.images[::4])
classifier = FewShotClassifier(CLIPTextEncoder("mini", pretrained="bundled")).fit(
    embeddings, labels[::4]
)

# %%
# Log it. The predictions of the logged model are probabilities.
folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
mlflow.set_tracking_uri(f"sqlite:///{Path(folder.name, 'mlflow.db').as_posix()}")
mlflow.create_experiment("pictures", artifact_location=Path(folder.name, "artifacts").as_uri())
mlflow.set_experiment("pictures")
with mlflow.start_run():
    mlflow.log_params({"shots": len(embeddings), "label_noise": classifier.label_noise})
    logged = mlflow.sklearn.log_model(
        classifier,
        name="classifier",
        serialization_format="skops",
        skops_trusted_types=trusted_types(),
        pyfunc_predict_fn="predict_proba",
        pip_requirements=["sksemobridge"],
    )

# %%
# Load it with MLflow, and serve one request. `mlflow models serve` runs the same server.
model = mlflow.pyfunc.load_model(logged.model_uri)
expected = classifier.predict_proba(embeddings)
print("largest difference after loading:", np.abs(model.predict(embeddings) - expected).max())

request = json.dumps({"inputs": embeddings[:1].tolist()})
with TestClient(make_server(model)) as client:
    answer = client.post(
        "/invocations", content=request, headers={"Content-Type": "application/json"}
    )
served = np.array(answer.json()["predictions"])
print("answer:", answer.status_code, labels[::4][0], "is", classifier.classes_[served[0].argmax()])
print("largest difference of the answer:", np.abs(served - expected[:1]).max())
folder.cleanup()
