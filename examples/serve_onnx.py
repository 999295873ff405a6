"""
Serve without torch: a pipeline as one ONNX file
================================================

`to_onnx` writes a fitted pipeline, with its image encoder, into one file. The program that serves
it needs only onnxruntime, Pillow and NumPy. This example compares this program with the pipeline.
Each runs in its own process, and the times include its start (run it on a quiet machine:
`python examples/serve_onnx.py`).
"""

# sphinx_gallery_thumbnail_path = "generated/cards/serve_onnx.png"

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


# %% The service finds the names of the classes in the file, and how to prepare an image. The
# preparation is that of torchvision, but with Pillow only: resize by the shortest side, crop the
# middle, and scale the values.
def serve(path):
    import onnxruntime
    from PIL import Image

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    how, classes = json.loads(about["preprocessing"]), json.loads(about["classes"])
    height, width = how["size"]
    mean, std = np.float32(how["mean"]), np.float32(how["std"])

    def prepare(image):
        image = image.convert(how["mode"])
        size = [max(height, width) * side // min(image.size) for side in image.size]
        image = image.resize(size, Image.Resampling[how["interpolation"].upper()])
        left, top = round((image.width - width) / 2), round((image.height - height) / 2)
        pixels = np.asarray(image.crop((left, top, left + width, top + height)), dtype=np.float32)
        return ((pixels / how["divide_by"] - mean) / std).transpose(2, 0, 1)

    def predict_proba(images):
        pixels = np.stack([prepare(Image.fromarray(image)) for image in images])
        return session.run(["probabilities"], {"pixels": pixels})[0]

    return predict_proba, classes


# %%
# The pipeline does the same.
def load(path):
    import joblib

    pipeline = joblib.load(path)
    return pipeline.predict_proba, pipeline.classes_.tolist()


def measure(way, path, pictures, started):
    """Print as JSON what a new process predicts, how long its start takes, and how fast it is."""
    images = np.load(pictures)
    predict_proba, classes = {"serve": serve, "load": load}[way](path)
    predict_proba(images[:1])
    first = time.time() - float(started)
    before = time.perf_counter()
    probabilities = np.concatenate(
        [predict_proba(images[i : i + 64]) for i in range(0, len(images), 64)]
    )
    result = {
        "first prediction, s": first,
        "images a second": len(images) / (time.perf_counter() - before),
        "modules": len(sys.modules),
        "torch": "torch" in sys.modules,
        "scikit-learn": "sklearn" in sys.modules,
        "labels": [classes[i] for i in probabilities.argmax(axis=1)],
        "probabilities": probabilities.tolist(),
    }
    print(json.dumps(result))


# %% Fit a pipeline to four shots of each class, and write both files. Then both processes predict
# half of the other pictures.
def main():
    import joblib

    from sksemobridge import make_few_shot_pipeline, to_onnx
    from sksemobridge.datasets import load_emoji

    emoji = load_emoji()
    labels = emoji.target_names[emoji.target]
    shots = np.concatenate([np.flatnonzero(labels == name)[:4] for name in emoji.target_names])
    pipeline = make_few_shot_pipeline("mini", "bundled").fit(emoji.images[shots], labels[shots])
    to_onnx(pipeline, "pipeline.onnx")
    joblib.dump(pipeline, "pipeline.joblib")
    np.save("pictures.npy", np.delete(emoji.images, shots, axis=0)[::2])

    results = {}
    for way, path in (("serve", "pipeline.onnx"), ("load", "pipeline.joblib")):
        command = [sys.executable, __file__, way, path, "pictures.npy", str(time.time())]
        results[way] = json.loads(
            subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
        )
    print(f"pipeline.onnx: {Path('pipeline.onnx').stat().st_size / 1e6:.1f} MB, weights included")
    print(f"{'':24}{'onnxruntime':>14}{'pipeline':>14}")
    for figure in ("first prediction, s", "images a second", "modules", "torch", "scikit-learn"):
        onnx, ours = (results[way][figure] for way in ("serve", "load"))
        print(f"{figure:24}{onnx:>14.5g}{ours:>14.5g}")
    both = [np.array(results[way]["probabilities"]) for way in ("serve", "load")]
    print(f"largest difference of a probability: {np.abs(both[0] - both[1]).max():.1e}")
    same = np.mean(np.array(results["serve"]["labels"]) == np.array(results["load"]["labels"]))
    print(f"labels that are the same: {same:.1%}")


if __name__ == "__main__":
    measure(*sys.argv[1:]) if sys.argv[1:2] in (["serve"], ["load"]) else main()
