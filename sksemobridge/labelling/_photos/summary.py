"""Lines that the command prints on its labels."""

from dataclasses import replace

from ..._utils.validation import listed, plural
from .._answers.class_names import NONE_OF_THESE
from .._answers.evidence import OTHERS_AMONG_THEM
from .folder_labels import FolderLabels
from .given_classes import puzzling_names
from .labelled_images import none_of_these
from .picture_bursts import count_bursts

NAMES_ALONE = (
    "How many labels are right is not estimated, because names alone may mislead. Label five"
    " images: with --open, --shots or --corrections."
)
NO_ICONS = "How many labels are right is not estimated: these are no drawn icons."


def _opinions(annotations, opinions):
    """The answer of each person, as text."""
    return ", ".join(
        f"{annotations.name_of(who) or 'somebody'}: {label or NONE_OF_THESE}"
        for who, label in opinions.items()
    )


def _burst_lines(labels):
    """A line that counts the bursts, if there are any."""
    return [] if labels.job.groups is None else [f"{count_bursts(labels.job.groups)}."]


def _how_taught(labels):
    """A sentence on whether labels depend on the other images."""
    if not len(labels.taught_by):
        return "Each image was labelled by itself."
    return (
        f"The {len(labels.taught_by)} images without a label taught the classifier too, so that a"
        " label depends on the others."
    )


def summary_of_saved(labels: FolderLabels) -> list[str]:
    """Lines on how the labels by a classifier of an earlier run came about."""
    lines, n = [*_burst_lines(labels), _how_taught(labels)], len(labels.annotations.answers)
    if (remembered := none_of_these(labels.job.pipeline[-1])) is not None:
        k = len(remembered[0])
        lines.append(f"The classifier remembers {k} {plural(k, 'image')} of none of the classes.")
    if n:
        lines.append(
            f"{n} {plural(n, 'label')} by persons: the classifier learnt nothing from them."
        )
    return lines


def _how_many_right(labels):
    """Lines on how many labels are right, or why the number is not known."""
    job, rest, right = labels.job, labels.is_predicted(), labels.estimate()
    if right is not None:
        about = f"about {right.estimate:.1%} ({right.low:.1%} to {right.high:.1%}) are right"
        n_bursts = 0 if job.groups is None else len({*job.groups[rest]})
        of = f" ({n_bursts:,} {plural(n_bursts, 'burst')})" if n_bursts else ""
        return [
            f"Of the {rest.sum()} predicted labels{of}, {about}, if every image is of these"
            " classes."
        ]
    lines = [OTHERS_AMONG_THEM] if labels.annotations.has_none() else []
    if not job.is_known_kind:
        return [*lines, NO_ICONS]
    return lines or ([NAMES_ALONE] if labels.is_by_names_alone and rest.any() else [])


def _check_lines(annotations):
    """A line on the result of the last check, if there was one."""
    if not (is_right := [*annotations.checked().values()]):
        return []
    which = "predictions" if annotations.check.among == "rest" else "labels that were seen"
    return [f"In the last check, {sum(is_right)} of {len(is_right)} {which} were right."]


def summary(labels: FolderLabels) -> list[str]:
    """Lines on how the labels came about."""
    job, shots, names = labels.job, labels.shots, labels.classifier.class_names_
    has_text, lines = names is not None, _burst_lines(labels)
    lines += [*_how_many_right(labels), *_check_lines(labels.annotations)]
    texts = [name for name in names if name is not None] if has_text else []
    if puzzling := puzzling_names(texts, job.model_names):
        note = f"Note: Names that the model may not know ({len(puzzling)}): {listed(puzzling)}."
        lines.append(f"{note} --names gives these classes other names, such as English ones.")
    if disputed := labels.annotations.disputed():
        answers = labels.annotations.answers
        named = [
            f"{answers[real].path} ({_opinions(labels.annotations, opinions)})"
            for real, opinions in disputed.items()
            if real in answers
        ]
        lines.append(f"Different answers ({len(named)}), the last counts: {listed(named)}")
    lines.append(_how_taught(labels))
    if labels.evaluation is None:
        n = len(names)
        return [*lines, f"No shots: {plural(n, 'the name')} of {n} {plural(n, 'class')} alone."]
    if by_name := sorted({*labels.classifier.classes_} - {*shots.labels}):
        lines.append(
            f"Classes without shots, predicted by their names alone ({len(by_name)}): "
            f"{listed(by_name)}"
        )
    if 0 < job.alpha < 1 / (len(shots.labels) + 1):
        few = (
            f"With so few shots ({len(shots.labels)}), no p-value is as low as --alpha"
            f" {job.alpha:g}."
        )
        lines.append(f"Note: {few} So every image gets a label.")
    elif job.alpha:
        lines.append(
            f"By --alpha, at most about {job.alpha:.0%} of the images of a class lose their label,"
            " in the mean over the classes."
        )
    if has_text and labels.classifier.blend_["trust"] < 0.5:
        lines.append(
            "Note: By the shots, the names of the classes say little to the model. Try --names."
        )
    doubtful = [
        "{path} ({label}, looks like {likely})".format(**shot) for shot in labels.doubtful_shots()
    ]
    evaluation = labels.evaluation
    if not labels.has_random_shots:
        # Images that persons were asked are hard, and no measure of the accuracy.
        evaluation = replace(evaluation, accuracy=float("nan"))
    lines += f"{evaluation}{': ' if doubtful else ''}{listed(doubtful)}".split("\n")
    twice = [
        f"{shots.paths[i]} ({shots.labels[i]}) and {shots.paths[j]} ({shots.labels[j]})"
        for i, j in labels.evaluation.duplicates
    ]
    if twice:
        lines.append(f"The same image twice: {listed(twice)}")
    return lines
