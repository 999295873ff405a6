"""Search by image and by text: mean average precision in percent, each image (text) a query among
all others of its task.

    python benchmarks/search.py --tasks FILE.npz ... emoji --vocabulary WORDS.npz ...

A vocabulary holds words `texts` ("a X") and their joint embeddings `text`. A task takes the first
of its width, without the names of its own classes; pictures through the bundled model take the
bundled words. Columns:

- raw, centred: embeddings as they are, and less the mean of the gallery;
- PCA: principal components of the gallery, as many as the bridge keeps;
- words, class names: both sides through `SemanticBridge`, learnt from the words, or from the class
  texts;
- paper: the query alone through the closed form of the paper. It is raw where the file holds no
  text projection.

The second table is a search among texts: descriptions of pictures, or the prompts of the classes.
Here "paper" transforms the query to images by the pseudo-inverse of the image projection.

Of large tasks, 2,500 images and 2,500 texts are searched. `--results` keeps the rows: those of the
tasks replace older ones.
"""

import warnings
from types import SimpleNamespace

import numpy as np
import tasks
from results import Results
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from sksemobridge import PrecomputedTextEncoder, SemanticBridge, mean_average_precision
from sksemobridge.datasets import load_vocabulary

KEY = ("task", "among", "way")
VALUES = ("precision",)
MAX_IMAGES = 2500


def bridge(texts, X):
    """A bridge from embeddings of texts `(m, D)`, fitted on a gallery."""
    words = {f"word {i}": row for i, row in enumerate(texts)}
    return SemanticBridge(PrecomputedTextEncoder.from_joint(words), vocabulary=list(words)).fit(X)


def search(task, vocabularies):
    """Mean average precision by way."""
    chosen = np.random.default_rng(0).permutation(len(task.X))[:MAX_IMAGES]
    X, y = task.X[chosen], task.y[chosen]

    def precision(query, gallery=None):
        return 100 * mean_average_precision(
            query, query if gallery is None else gallery, y, y, exclude_self=True
        )

    unit, found = normalize(X), {}
    found["raw"], found["centred"] = precision(X), precision(unit - unit.mean(axis=0))
    if task.model == "mini bundled":
        texts = [f"a {word}" for word in load_vocabulary()]
        vocabularies = [{"texts": texts, "text": task.text_encoder.transform(texts)}]
    own = [vocabulary for vocabulary in vocabularies if vocabulary["text"].shape[1] == X.shape[1]]
    if own:
        learnt = bridge(tasks.without_own_names(own[0], np.unique(task.y)), X)
        components = PCA(min(learnt.rank_, *X.shape), svd_solver="full").fit_transform(unit)
        found["PCA"], found["words"] = precision(components), precision(learnt.transform(X))
    if task.text_encoder is not None:
        found["class names"] = precision(
            bridge(tasks.zero_shot(task).text_embeddings_, X).transform(X)
        )
        found["paper"] = precision(
            SemanticBridge(task.text_encoder, vocabulary=None).fit(X).transform(X), X
        )
    return found


def search_texts(task):
    """Mean average precision among the texts of a task, by way."""
    chosen = np.random.default_rng(0).permutation(len(task.texts))[:MAX_IMAGES]
    texts = task.text_encoder.transform([task.texts[row] for row in chosen])
    y = np.asarray(task.text_labels)[chosen]

    def precision(query, gallery=None):
        return 100 * mean_average_precision(
            query, query if gallery is None else gallery, y, y, exclude_self=True
        )

    unit = normalize(texts)
    found = {"raw": precision(texts), "centred": precision(unit - unit.mean(axis=0))}
    if task.image_projection is not None:
        encoder = SimpleNamespace(image_projection_=task.image_projection)
        to_images = SemanticBridge(encoder, vocabulary="auto", direction="text_to_image").fit(texts)
        found["paper"] = precision(to_images.transform(texts), texts)
    return found


def of_task(task, vocabularies):
    """The rows of a task."""
    warnings.simplefilter("ignore")  # a label that only one image has
    found = {"images": search(task, vocabularies)}
    if task.texts is not None:
        found["texts"] = search_texts(task)
    return [
        {"task": task.name, "among": among, "way": way, "precision": value}
        for among, ways in found.items()
        for way, value in ways.items()
    ]


def report(frame):
    """The table of each task, and the mean of the ways that all tasks have."""
    ways, names = frame.way.unique(), frame.task.unique()
    found = frame.pivot(index="task", columns="way", values="precision").loc[names, ways]
    rows = [[name, *map(cell, found.loc[name])] for name in names]
    if len(names) > 1:
        rows.append([f"mean of {len(names)}", *map(cell, found.mean(skipna=False))])
    return tasks.table(["set", *ways], rows)


def cell(value):
    return "" if np.isnan(value) else f"{value:.1f}"


def main(arguments=None):
    parser = tasks.parser(__doc__, ["emoji"], results="search.csv")
    parser.add_argument("--vocabulary", nargs="*", default=[], metavar="FILE.npz")
    args = parser.parse_args(arguments)
    vocabularies = [dict(np.load(path)) for path in args.vocabulary]
    all_tasks = tasks.load(args.tasks)
    results = Results(args.results, KEY, VALUES)
    results.forget(lambda row: row["task"] in {task.name for task in all_tasks})
    results.measure(of_task, [(task, vocabularies) for task in all_tasks], args.jobs)
    parts = [report(among) for _, among in results.frame().groupby("among")]
    print("\n\n".join(parts))


if __name__ == "__main__":
    main()
