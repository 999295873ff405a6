"""What a page shows, as plain lists and mappings."""

import os

from sklearn.neighbors import NearestNeighbors

from .._folder_table import plain

# Closest shots of each picture.
N_CLOSEST = 3


def content(table, classes, paths, embeddings, shots=None):
    """Pictures, shots, doubtful shots and corrections.

    `table` are the columns of `predict_folder`, `paths` and `embeddings (n, D)` those of the pictures that could be read,
    and `shots` a `UserShots` or None.
    """
    data = {"classes": [str(label) for label in classes], "shots": [], "doubtful": [], "corrections": {}}
    closest, given = {}, {}
    if shots is not None:
        closest, given = _closest(paths, embeddings, shots), shots.corrections
        # Only those that are shown.
        rows = {row: i for i, row in enumerate(sorted({row for near in closest.values() for row in near}))}
        closest = {path: [rows[row] for row in near] for path, near in closest.items()}
        data["shots"] = [_shot(shots, row) for row in rows]
        likely, right = shots.likely(), shots.evaluation.label_proba
        data["doubtful"] = [
            _shot(shots, row)
            | {"likely": str(likely[row]), "probability": float(right[row]), "readable": True}
            for row in shots.doubtful()
        ]
        here = {os.path.realpath(path): path for path in [*shots.paths, *table["path"]]}
        data["corrections"] = {plain(here.get(path, path)): label for path, label in given.items()}
    readable = set(paths)
    data["pictures"] = [
        {
            "file": row["path"],
            "path": plain(row["path"]),
            "label": _text(row["label"]),
            "probability": plain(row["probability"]),
            "other": _text(row["runner_up"]),
            "other_probability": plain(row["runner_up_probability"]),
            "problem": plain(row["problem"]),
            "readable": row["path"] in readable,
            "given": os.path.realpath(row["path"]) in given if given else False,
            "closest": closest.get(row["path"], []),
        }
        for row in (dict(zip(table, values)) for values in zip(*table.values()))
    ]
    return data


def _shot(shots, row):
    return {"file": shots.paths[row], "path": plain(shots.paths[row]), "label": str(shots.labels[row])}


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
