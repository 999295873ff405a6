"""What the command says of its labels."""

import os
from collections import Counter
from dataclasses import replace

from .._evaluation import share_right
from .._utils.validation import listed
from .folder_job import model_names
from .folder_table import NONE_OF_THESE, was_read
from .user_tables import puzzling_names


def summary(job, labels, evidence):
    """Lines on how the labels came about. `evidence` are further arguments of `share_right`."""
    shots, lines = labels.shots, []
    names = labels.classifier.class_names_
    has_text = names is not None
    if has_text and (puzzling := puzzling_names(names, model_names(job.pipeline))):
        known = f"Note: Names that the model may not know ({len(puzzling)}): {listed(puzzling)}."
        lines.append(f"{known} --names gives these classes other names, such as English ones.")
    how = f"The {labels.n_taught} images without a label taught the classifier too, so that a label depends on the others."
    lines.append(how if labels.n_taught else "Each image was labelled by itself.")
    by_person = {*map(os.path.realpath, shots.paths), *shots.corrections}
    read = [row for row in labels.rows if was_read(row)]
    rest = [row["label"] is not None and os.path.realpath(row["path"]) not in by_person for row in read]
    if any(rest):
        proba = labels.proba(job.embeddings)[rest]
        has_random_shots = len(shots.labels) > len(shots.corrections)
        right = share_right(proba, has_random_shots=has_random_shots, **evidence)
        lines.insert(0, f"Of the {len(proba)} other labels, {right} are right, if they are of these classes.")
    if shots.evaluation is None:
        return [*lines, f"No shots: the names of {len(names)} classes alone."]
    if by_name := sorted({*labels.classifier.classes_} - {*shots.labels}):
        lines.append(f"Classes without shots, known by their names alone ({len(by_name)}): {listed(by_name)}")
    if 0 < job.alpha < 1 / (len(shots.labels) + 1):
        few = f"With so few shots ({len(shots.labels)}), no p-value is as low as --alpha {job.alpha:g}."
        lines.append(f"Note: {few} So every image gets a label.")
    if has_text and labels.classifier.blend_["trust"] < 0.5:
        lines.append(
            "Note: The shots show that the names of the classes say little to the model. Try other --names."
        )
    lines += shots.summary().split("\n")
    if shots.corrections:
        lines.append(_changed(replace(job, corrections={}).fit().rows, labels.rows, shots.corrections))
    return lines


def _changed(before, after, corrections):
    """What the corrections change in the labels of other images."""
    others = [
        (old["label"], new["label"])
        for old, new in zip(before, after)
        if was_read(new) and os.path.realpath(new["path"]) not in corrections
    ]
    changes = Counter(pair for pair in others if pair[0] != pair[1])
    named = [
        f"{n} from {old or NONE_OF_THESE} to {new or NONE_OF_THESE}"
        for (old, new), n in changes.most_common()
    ]
    counts = f"{changes.total()} of {len(others)} other labels"
    return f"Changed by the corrections: {counts}" + (f": {listed(named)}" if named else "")
