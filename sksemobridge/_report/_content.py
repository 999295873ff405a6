"""What a page shows, as plain lists and mappings."""

import os

from sklearn.neighbors import NearestNeighbors

from .._folder_table import plain

# Closest shots of each picture.
N_CLOSEST = 3


def content(table, classes, paths, embeddings, shots=None):
    """Pictures, shots, rows of the doubtful shots, and corrections.

    `table` are the columns of `predict_folder`, `paths` and `embeddings (n, D)` those of the pictures that could be read,
    and `shots` a `UserShots` or None.
    """
    closest, given, readable = {}, {}, set(paths)
    data = {"classes": [str(label) for label in classes], "shots": [], "doubtful": [], "corrections": {}}
    if shots is not None:
        closest, given = _closest(paths, embeddings, shots), shots.given
        judged = zip(shots.paths, shots.labels, shots.likely(), shots.evaluation.label_proba.tolist())
        data["shots"] = [
            {"file": path, "path": plain(path), "label": str(label), "likely": str(likely)}
            | {"probability": plain(right), "readable": True}
            for path, label, likely, right in judged
        ]
        data["doubtful"] = [int(row) for row in shots.doubtful()]
        here = {os.path.realpath(path): path for path in [*shots.paths, *table["path"]]}
        data["corrections"] = {
            plain(here.get(os.path.realpath(path), path)): label for path, label in shots.corrections.items()
        }
    data["pictures"] = [
        {name: plain(value) for name, value in row.items()}
        | {
            "file": row["path"],
            "label": _text(row["label"]),
            "runner_up": _text(row["runner_up"]),
            "readable": row["path"] in readable,
            "given": os.path.realpath(row["path"]) in given if given else False,
            "closest": closest.get(row["path"], []),
        }
        for row in (dict(zip(table, values)) for values in zip(*table.values()))
    ]
    return data


def _text(label):
    return None if label is None else str(label)


def _closest(paths, embeddings, shots):
    """Rows of the shots that are closest to each picture, without the picture itself, by path."""
    if not paths:
        return {}
    # One more than is shown, since a picture may be a shot.
    neighbors = NearestNeighbors(n_neighbors=min(N_CLOSEST + 1, len(shots.paths)), metric="cosine")
    rows = neighbors.fit(shots.embeddings).kneighbors(embeddings, return_distance=False)
    real = [os.path.realpath(path) for path in shots.paths]
    return {
        path: [row for row in near.tolist() if real[row] != os.path.realpath(path)][:N_CLOSEST]
        for path, near in zip(paths, rows)
    }
