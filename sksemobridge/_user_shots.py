"""What the command learns from: a folder of shots, and corrections by a person. `learn` fits the classifier to them.

The page of `--report` also takes its shots in this form.
"""

import os
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.base import clone

from ._evaluation import ShotEvaluation, evaluate_shots
from ._folder_table import embed_readable, was_read
from ._pipeline import SeMoBridgePipeline, make_semobridge_pipeline
from ._user_tables import puzzling_names, read_corrections, read_names
from ._utils.validation import listed
from .datasets import load_image_folder


@dataclass(frozen=True, eq=False)
class UserShots:
    """The readable shots (`paths` and `labels (n,)`, `embeddings (n, D)`), and the pipeline that was fitted to them.

    `corrections` are those of `read_corrections`. If there are any, `uncorrected` is a classifier that was fitted to the
    folder alone. `n_skipped` shots cannot be read.
    """

    pipeline: SeMoBridgePipeline
    paths: Any
    labels: Any
    embeddings: Any
    evaluation: ShotEvaluation
    corrections: dict[str, tuple[str, str]] = field(default_factory=dict)
    uncorrected: Any = None
    n_skipped: int = 0

    def best_other(self):
        """The most probable class of each shot apart from its label, by a model without the shot."""
        others = np.nan_to_num(self.evaluation.held_out_proba)
        others[self.evaluation.classes == self.labels[:, None]] = -1
        return self.evaluation.classes[others.argmax(axis=1)]

    def summary(self, rows, embeddings):
        """Text on the shots, and on what the corrections change in the results of `label_files`."""
        other = self.best_other()
        doubtful = [
            f"{self.paths[i]} ({self.labels[i]}, looks like {other[i]})" for i in self.evaluation.doubtful
        ]
        text = f"{self.evaluation}{_after_colon(doubtful)}"
        if self.uncorrected is not None and len(embeddings):
            read = [os.path.realpath(row["path"]) for row in rows if was_read(row)]
            others = np.array([path not in self.corrections for path in read])
            before, after = self.uncorrected.predict(embeddings), self.pipeline[-1].predict(embeddings)
            changed = others & (before != after)
            changes = Counter(zip(before[changed], after[changed])).most_common()
            named = [f"{n} from {old} to {new}" for (old, new), n in changes]
            counts = f"{changed.sum()} of {others.sum()} other labels"
            text += f"\nChanged by the corrections: {counts}{_after_colon(named)}"
        return text


def learn(folder, model, names_file, corrections_file, *, cache, alpha):
    """`UserShots` from a folder with one sub-folder for each class.

    `model` is the name and the weights. The files are for `read_names` and `read_corrections`, or None. It is a
    ValueError if there is no shot, if there is one class and no `alpha`, if a table does not fit, or if no image of a
    class can be read.
    """
    found = load_image_folder(folder)
    folder_classes, folder_labels = found.target_names.tolist(), found.target_names[found.target]
    paths, labels, corrections = found.paths.tolist(), folder_labels.tolist(), {}
    if corrections_file is not None:
        corrections = read_corrections(corrections_file, folder_classes)
        _correct(paths, labels, corrections)
    classes = sorted({*labels} - {""})
    if not classes:
        raise ValueError("--corrections: they remove all shots, so there is nothing to learn from")
    if len(classes) == 1 and not alpha:
        why = f"--shots: {folder!r} has one sub-folder"
        if len(folder_classes) > 1:
            why = "--corrections: they leave one class"
        raise ValueError(
            f"{why}, and all images would be labelled {classes[0]!r}. Give the folder whose sub-folders are the "
            "classes, or --alpha to give no label to images of other things"
        )
    name_params = {}
    if names_file is not None:
        name_params = read_names(names_file, sorted({*classes, *folder_classes}))
    pipeline = make_semobridge_pipeline(*model, encoder_params={"cache": cache}, **name_params)
    embeddings, problems = embed_readable(pipeline[0], paths, progress=True)
    for path, problem in problems.items():
        say(f"Skipped the shot {path}: {problem}.")
    is_readable = np.array([path not in problems for path in paths])
    paths, labels = (np.array(values, dtype=object)[is_readable] for values in (paths, labels))
    if lost := sorted({*classes} - {*labels}):
        option = "--shots" if {*lost} <= {*folder_classes} else "--corrections"
        raise ValueError(f"{option}: no image of these classes can be read: {', '.join(lost)}")
    uncorrected = None
    if corrections:
        # `_correct` only appends, so the shots of the folder come first.
        readable_labels = folder_labels[is_readable[: len(folder_labels)]]
        if len(readable_labels):
            uncorrected = clone(pipeline[-1]).fit(embeddings[: len(readable_labels)], readable_labels)
        kept = labels != ""
        paths, labels, embeddings = paths[kept], labels[kept], embeddings[kept]
    if 0 < alpha < 1 / (len(labels) + 1):
        note = f"With {len(labels)} shots, no p-value is as low as --alpha {alpha:g}. So every image gets a label."
        say(f"Note: {note}")
    pipeline[-1].fit(embeddings, labels)
    evaluation = evaluate_shots(pipeline[-1], embeddings, labels)
    # A label by a person is not doubtful.
    doubtful = [row for row in evaluation.doubtful if os.path.realpath(paths[row]) not in corrections]
    evaluation = replace(evaluation, doubtful=np.array(doubtful, dtype=np.intp))
    puzzling = puzzling_names(name_params.get("class_names", dict(zip(classes, classes))).values(), model[0])
    if puzzling:
        known = f"Note: Names that the model may not know ({len(puzzling)}): {listed(puzzling)}."
        say(f"{known} --names gives these classes other names, such as English ones.")
    if pipeline[-1].blend_["trust"] < 0.5:
        say("Note: The shots show that the names of the classes say little to the model. Try other --names.")
    return UserShots(pipeline, paths, labels, embeddings, evaluation, corrections, uncorrected, len(problems))


def _correct(paths, labels, corrections):
    """Change the lists of paths and labels, and print what changes. An empty label removes a shot."""
    rows, counts, known = defaultdict(list), Counter(), set(labels)
    for i, path in enumerate(paths):
        rows[os.path.realpath(path)].append(i)
    for real, (path, label) in corrections.items():
        # There are several if links lead to the file.
        same = rows[real]
        if same:
            kind = "confirmed" if all(labels[i] == label for i in same) else "other label"
            counts[kind if label else "taken back"] += 1
            for i in same:
                labels[i] = label
        elif label:
            counts["further shot"] += 1
            paths.append(path)
            labels.append(label)
        else:
            counts["none of the classes"] += 1
    say(f"Corrections: {', '.join(f'{kind} {n}' for kind, n in sorted(counts.items())) or 'none'}")
    now = set(labels) - {""}
    for kind, classes in (("New classes", now - known), ("Classes without shots", known - now)):
        if classes:
            say(f"Note: {kind} by the corrections: {', '.join(sorted(classes))}")


def _after_colon(items):
    """A colon, and the first items. Nothing if there are none."""
    return f": {listed(items)}" if items else ""


def say(message):
    print(message, file=sys.stderr)
