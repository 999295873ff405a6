"""The shots of the command: a folder, the corrections by a person, the classifier, and a summary."""

import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone

from ._evaluation import ShotEvaluation, doubtful_shots, evaluate_shots
from ._folder_table import embed_readable
from ._pipeline import SeMoBridgePipeline, make_semobridge_pipeline
from ._user_tables import puzzling_names, read_corrections, read_names
from .datasets import load_image_folder

# Largest number of shots, names or changes in a list.
MOST_NAMED = 5


@dataclass(frozen=True, eq=False)
class UserShots:
    """The readable shots (`paths` and `labels (n,)`, `embeddings (n, D)`), and the pipeline that was fitted to them.

    `corrections` maps real paths to labels by a person. An empty label means none of the classes. If there are corrections,
    `uncorrected` is a classifier that was fitted to the folder alone. `n_skipped` shots cannot be read.
    """

    pipeline: SeMoBridgePipeline
    paths: Any
    labels: Any
    embeddings: Any
    evaluation: ShotEvaluation
    corrections: dict[str, str] = field(default_factory=dict)
    uncorrected: Any = None
    n_skipped: int = 0

    def doubtful(self):
        """Rows of shots with a doubtful label, without labels by a person. The most doubtful come first."""
        return [
            i for i in self.evaluation.doubtful if os.path.realpath(self.paths[i]) not in self.corrections
        ]

    def likely(self):
        """The class that a model without the shot predicts for each shot."""
        return self.evaluation.classes[np.nan_to_num(self.evaluation.held_out_proba).argmax(axis=1)]

    def summary(self, paths, embeddings):
        """Lines with the accuracy on the shots, the doubtful shots, and the changes by the corrections.

        `paths` and `embeddings` are those of the images that get labels.
        """
        likely = self.likely()
        named = [f"{self.paths[i]} ({self.labels[i]}, looks like {likely[i]})" for i in self.doubtful()]
        lines = [*self.evaluation._summary(), f"{doubtful_shots(len(named))}{_first(named)}"]
        if self.uncorrected is not None and len(paths):
            others = np.array([os.path.realpath(path) not in self.corrections for path in paths])
            before, after = self.uncorrected.predict(embeddings), self.pipeline[-1].predict(embeddings)
            changed = others & (before != after)
            changes = Counter(zip(before[changed], after[changed])).most_common()
            named = [f"{n} from {old} to {new}" for (old, new), n in changes]
            counts = f"{changed.sum()} of {others.sum()} other labels"
            lines.append(f"Changed by the corrections: {counts}{_first(named)}")
        return lines


def learn(folder, model, names, corrections, *, cache, alpha):
    """`UserShots` from a folder with one sub-folder for each class.

    `model` is the name and the weights. `names` and `corrections` are files for `read_names` and `read_corrections`, or None. It is
    a ValueError if there is no shot, if there is one class and no `alpha`, if a table does not fit, or if no image of a class
    can be read.
    """
    found = load_image_folder(folder)
    of_folder = found.target_names[found.target]
    given = {} if corrections is None else read_corrections(corrections, found.target_names.tolist())
    paths, labels = _corrected(found.paths, of_folder, given)
    classes = sorted({*labels} - {""})
    if not classes or (len(classes) == 1 and not alpha):
        raise ValueError(
            f"--shots: {folder!r}, with its corrections if any, has the classes {classes}. Give a folder of several "
            "sub-folders, or with one class --alpha to give no label to images of other things"
        )
    words = {} if names is None else read_names(names, sorted({*classes, *found.target_names}))
    pipeline = make_semobridge_pipeline(*model, encoder_params={"cache": cache}, **words)
    embeddings, problems = embed_readable(pipeline[0], paths.tolist(), progress=True)
    for path, problem in problems.items():
        say(f"Skipped the shot {path}: {problem}.")
    readable = np.array([path not in problems for path in paths])
    paths, labels = paths[readable], labels[readable]
    lost = sorted({*classes} - {*labels})
    if lost:
        raise ValueError(f"--shots: no image of these classes can be read: {', '.join(lost)}")
    of_folder, uncorrected, kept = of_folder[readable[: len(of_folder)]], None, labels != ""
    if given and len(of_folder):
        uncorrected = clone(pipeline[-1]).fit(embeddings[: len(of_folder)], of_folder)
    paths, labels, embeddings = paths[kept], labels[kept], embeddings[kept]
    if 0 < alpha < 1 / (len(labels) + 1):
        say(
            f"Note: With {len(labels)} shots, no p-value is as low as --alpha {alpha:g}. So every image gets a label."
        )
    pipeline[-1].fit(embeddings, labels)
    evaluation = evaluate_shots(pipeline[-1], embeddings, labels)
    _say_puzzling(words.get("class_names", dict(zip(classes, classes))), model[0])
    if pipeline[-1].blend_["trust"] < 0.5:
        say("Note: The shots show that the names of the classes say little to the model. Try other --names.")
    return UserShots(pipeline, paths, labels, embeddings, evaluation, given, uncorrected, len(problems))


def _corrected(paths, labels, given):
    """Paths and labels after corrections, with further shots last. Print what changes. An empty label removes a shot."""
    real = [os.path.realpath(path) for path in paths]
    further = {path: label for path, label in given.items() if label and path not in {*real}}
    now = np.array([given.get(path, label) for path, label in zip(real, labels)], dtype=object)
    back = now == ""
    if given:
        other = np.sum((now != labels) & ~back)
        say(f"Corrections: {len(further)} further shots, {other} other labels, {back.sum()} taken back")
    new = {*further.values(), *now[~back]} - {*labels}
    if new:
        say(f"Note: New classes by the corrections: {', '.join(sorted(new))}")
    further = np.array([*further.items()], dtype=object).reshape(-1, 2)
    return np.concatenate([paths, further[:, 0]]), np.concatenate([now, further[:, 1]])


def _say_puzzling(names, model_name):
    """Print names of classes that the model may not know."""
    import open_clip

    try:
        text = (open_clip.get_model_config(model_name) or {}).get("text_cfg", {})
    # All embeddings came from the cache, and the model is no longer on this machine. A hint must not stop the run.
    except OSError:
        return
    puzzling = puzzling_names(names.values(), is_english="hf_tokenizer_name" not in text)
    if puzzling:
        known = f"Note: Names that the model may not know ({len(puzzling)}){_first(puzzling)}."
        say(f"{known} --names gives these classes other names, such as English ones.")


def _first(items):
    """A colon, and the first items."""
    return ": " * bool(items) + ", ".join(items[:MOST_NAMED]) + ", ..." * (len(items) > MOST_NAMED)


def say(message):
    print(message, file=sys.stderr)
