"""What the command learns from: a folder of shots, and corrections by a person. `learn` fits the classifier to them.

The page of `--report` also takes its shots in this form.
"""

import os
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.base import clone

from ._evaluation import ShotEvaluation, evaluate_shots
from ._folder_table import embed_readable
from ._pipeline import SeMoBridgePipeline, make_semobridge_pipeline
from ._user_tables import puzzling_names, read_corrections, read_names
from ._utils.validation import listed
from .datasets import load_image_folder


@dataclass(frozen=True, eq=False)
class UserShots:
    """The readable shots (`paths` and `labels (n,)`, `embeddings (n, D)`), and the pipeline that was fitted to them.

    `corrections` maps paths to labels by a person. An empty label means none of the classes. If there are corrections,
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

    @cached_property
    def given(self):
        """The corrections by real path."""
        return {os.path.realpath(path): label for path, label in self.corrections.items()}

    def best_other(self):
        """The most probable class of each shot apart from its label, by a model without the shot."""
        others = np.nan_to_num(self.evaluation.held_out_proba)
        others[self.evaluation.classes == self.labels[:, None]] = -1
        return self.evaluation.classes[others.argmax(axis=1)]

    def summary(self, paths, embeddings):
        """Text with the accuracy on the shots, the doubtful shots, and the changes by the corrections.

        `paths` and `embeddings` are those of the images that get labels.
        """
        other = self.best_other()
        doubtful = [
            f"{self.paths[i]} ({self.labels[i]}, looks like {other[i]})" for i in self.evaluation.doubtful
        ]
        text = f"{self.evaluation}{_after_colon(doubtful)}"
        if self.uncorrected is not None and len(paths):
            others = np.array([os.path.realpath(path) not in self.given for path in paths])
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
    paths, folder_labels = list(found.paths), found.target_names[found.target]
    labels, corrections = folder_labels.tolist(), {}
    if corrections_file is not None:
        corrections = read_corrections(corrections_file, found.target_names.tolist())
        _correct(paths, labels, corrections)
    classes = sorted({*labels} - {""})
    if not classes:
        raise ValueError("--corrections: they remove all shots, so there is nothing to learn from")
    if len(classes) == 1 and not alpha:
        why = f"--shots: {folder!r} has one sub-folder"
        if len(found.target_names) > 1:
            why = "--corrections: they leave one class"
        raise ValueError(
            f"{why}, and all images would be labelled {classes[0]!r}. Give the folder whose sub-folders are the "
            "classes, or --alpha to give no label to images of other things"
        )
    name_params = {}
    if names_file is not None:
        name_params = read_names(names_file, sorted({*classes, *found.target_names}))
    pipeline = make_semobridge_pipeline(*model, encoder_params={"cache": cache}, **name_params)
    readable, paths, labels, embeddings = _embed(pipeline[0], paths, labels, found.target_names)
    uncorrected = None
    if corrections:
        # `_correct` only appends, so the shots of the folder come first.
        folder_rows = readable[: len(folder_labels)]
        if folder_rows.any():
            uncorrected = clone(pipeline[-1]).fit(embeddings[: folder_rows.sum()], folder_labels[folder_rows])
        kept = labels != ""
        paths, labels, embeddings = paths[kept], labels[kept], embeddings[kept]
    if 0 < alpha < 1 / (len(labels) + 1):
        note = f"With {len(labels)} shots, no p-value is as low as --alpha {alpha:g}. So every image gets a label."
        say(f"Note: {note}")
    pipeline[-1].fit(embeddings, labels)
    evaluation = evaluate_shots(pipeline[-1], embeddings, labels)
    # A label by a person is not doubtful.
    by_a_person = {os.path.realpath(path) for path in corrections}
    doubtful = [row for row in evaluation.doubtful if os.path.realpath(paths[row]) not in by_a_person]
    evaluation = replace(evaluation, doubtful=np.array(doubtful, dtype=np.intp))
    _say_puzzling(name_params.get("class_names", dict(zip(classes, classes))), model[0])
    if pipeline[-1].blend_["trust"] < 0.5:
        say("Note: The shots show that the names of the classes say little to the model. Try other --names.")
    n_skipped = np.count_nonzero(~readable)
    return UserShots(pipeline, paths, labels, embeddings, evaluation, corrections, uncorrected, n_skipped)


def _correct(paths, labels, corrections):
    """Change the lists of paths and labels, and print what changes. An empty label removes a shot."""
    rows, counts, known = defaultdict(list), Counter(), set(labels)
    for i, path in enumerate(paths):
        rows[os.path.realpath(path)].append(i)
    for path, label in corrections.items():
        # There are several if links lead to the file.
        same = rows[os.path.realpath(path)]
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


def _embed(encoder, paths, labels, folder_classes):
    """Which shots can be read `(n,)`, and their paths, labels and embeddings. The others are printed.

    It is a ValueError if a class has none. `folder_classes` are those that the folder has.
    """
    embeddings, problems = embed_readable(encoder, paths, progress=True)
    for path, problem in problems.items():
        say(f"Skipped the shot {path}: {problem}.")
    readable = np.array([path not in problems for path in paths])
    paths, readable_labels = (np.array(values, dtype=object)[readable] for values in (paths, labels))
    lost = sorted(set(labels) - set(readable_labels) - {""})
    if lost:
        option = "--shots" if set(lost) <= set(folder_classes) else "--corrections"
        raise ValueError(f"{option}: no image of these classes can be read: {', '.join(lost)}")
    return readable, paths, readable_labels, embeddings


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
        known = f"Note: Names that the model may not know ({len(puzzling)}): {listed(puzzling)}."
        say(f"{known} --names gives these classes other names, such as English ones.")


def _after_colon(items):
    """A colon, and the first items. Nothing if there are none."""
    return f": {listed(items)}" if items else ""


def say(message):
    print(message, file=sys.stderr)
