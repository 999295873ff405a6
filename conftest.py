"""Run the code blocks of README.md and docs/ as they stand, in a folder with the files that they name.

Two things are put in their place: the bundled model for ViT-B-16, whose weights are a download, and values for the
names that a reader brings along.
"""

import os
import sys
from contextlib import ExitStack, chdir
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

# Modules that pytest must not import in search of doctests.
collect_ignore_glob = [
    "docs/*.py",
    "docs/auto_examples/*",
    "examples/*",
    "benchmarks/*",
    "studies/*",
    "tools/*",
]

CLASSES = ("bird", "clock", "fruit", "mammal")
SHOTS = 8


def _use_bundled_model():
    """Let every module that finds a model by its parameters find the bundled one for ViT-B-16."""
    from sksemobridge.encoders._source import find_source

    def find(model_name, pretrained):
        is_download = (model_name, pretrained) == ("ViT-B-16", "openai")
        return find_source("mini", "bundled") if is_download else find_source(model_name, pretrained)

    modules = [
        name for name, module in sys.modules.items() if getattr(module, "find_source", None) is find_source
    ]
    undo = ExitStack()
    for name in modules:
        undo.enter_context(mock.patch(f"{name}.find_source", find))
    return undo


def set_up(namespace):
    """Files of a reader in a folder of their own, and the names that pages use without making them."""
    import joblib
    import matplotlib
    from PIL import Image

    from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, SeMoBridgeClassifier, make_semobridge_pipeline
    from sksemobridge.datasets import load_emoji, load_image_folder

    matplotlib.use("Agg")
    undo = namespace["_undo"] = _use_bundled_model()
    # Other processes would not know of it.
    undo.enter_context(joblib.parallel_config(backend="threading"))
    undo.enter_context(mock.patch.dict(os.environ))
    # Which a page may lower.
    undo.enter_context(mock.patch.object(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS))
    undo.enter_context(chdir(undo.enter_context(TemporaryDirectory())))

    emoji = load_emoji()
    labels = emoji.target_names[emoji.target]
    chosen = np.concatenate([np.flatnonzero(labels == name)[: 2 * SHOTS] for name in CLASSES])
    for i in chosen[::2]:
        path = Path("my_pictures", labels[i], f"{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(emoji.images[i]).save(path)
    for name in ("new.jpg", "query.jpg", "cat.jpg", "dog.png"):
        Image.fromarray(emoji.images[chosen[1]]).save(name)

    embeddings = CLIPImageEncoder("mini", "bundled").transform(emoji.images[chosen])
    X, y = embeddings[::2], labels[chosen[::2]]
    pictures = load_image_folder("my_pictures")
    namespace |= {
        # For blocks that are skipped without a package.
        "missing": lambda *packages: any(find_spec(package) is None for package in packages),
        "folder": pictures,
        "paths": pictures.paths,
        "images": list(pictures.paths),
        "labels": y,
        "queries": ["query.jpg"],
        "descriptions": [f"a picture of a {name}." for name in emoji.names[chosen[::2]]],
        "X": X,
        "y": y,
        "X_monday": X[:16],
        "y_monday": y[:16],
        "X_tuesday": X[16:],
        "y_tuesday": y[16:],
        "X_new": embeddings[1::2],
        "y_new": labels[chosen[1::2]],
        "pipeline": make_semobridge_pipeline("mini", "bundled"),
        "classifier": SeMoBridgeClassifier(CLIPTextEncoder("mini", "bundled")).fit(X, y),
    }


def tear_down(namespace):
    import matplotlib.pyplot as plt

    plt.close("all")
    namespace["_undo"].close()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md"],
    # Needs a cluster.
    excludes=["docs/large_jobs.md"],
    setup=set_up,
    teardown=tear_down,
).pytest()
