"""Base class of classifiers that learn from shots: it reads labelled shots and the names of the
classes, adds shots, and changes to other classes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from ._base import EmbeddingClassifier
from ._fitted import Fitted
from ._model.class_means import effective_numbers
from ._model.fit import MOST_VALUES
from ._model.judged_names import JudgedNames, judge_names
from ._model.shots import JudgedShots, Rows, ShotMemory, Shots
from ._texts.encode import ClassTexts, read_texts
from ._texts.prompts import is_sequence
from ._utils.array_api import l2_normalize
from ._utils.rows import blocks, evenly_spaced
from ._utils.threads import one_thread
from ._utils.validation import (
    check_text_encoder,
    listed,
    positions,
    require_width,
    validate_classes,
    validate_groups,
    validate_labels,
    validate_priors,
    validate_training_embeddings,
    validate_weights,
    warn_caller,
)

# Bounds of mean cosines that tell centred columns. If columns were centred, the mean cosines of
# images with images, and of images with texts, are below BALL, and the mean cosine of texts is
# above CONE. On eleven tasks (five models, 1 to 16 shots of two classes and more), this always held
# after a StandardScaler in a pipeline, and never without.
BALL, CONE = 0.1, 0.2
# Most shots that judge names.
MOST_JUDGED = 2000


class ShotClassifier(EmbeddingClassifier):
    """A classifier that learns from shots, and from the names of their classes if it has a text
    encoder. A subclass defines in `_fit_model` how it learns.
    """

    # Whether the model needs the text embeddings before the projection.
    _reads_projection: bool
    # Arguments that metadata routing gives to `fit`. `groups` is left out: groups of folds, such as
    # all images of a person, are rarely copies of one image.
    __metadata_request__fit = {"sample_weight": True}

    priors: ArrayLike | Mapping[Any, float] | Literal["shots"] | None

    def set_params(self, **params: Any) -> Self:
        """Set parameters of this estimator, as scikit-learn does.

        Parameters
        ----------
        **params
            Parameters of the estimator, and with the prefix `text_encoder__` parameters of the text
            encoder.

        Returns
        -------
        Self
            The estimator itself.
        """
        try:
            return super().set_params(**params)
        except ValueError as error:
            if "class_weight" in params:
                error.add_note("A weight of a class is a prior here: set priors.")
            raise

    @property
    def _drops_names_of_chance(self) -> bool:
        """Whether the model does without names that are no better than chance on the shots."""
        return False

    @abstractmethod
    def _fit_model(
        self, classes: NDArray[Any], memory: ShotMemory, texts: ClassTexts, **options: Any
    ) -> tuple[Any, JudgedShots | None]:
        """The model of the `classes`, and its judgement of the shots. `options` are the options of
        `_learn`.
        """

    @property
    def _counts_images(self) -> bool:
        """Whether the model depends on how many images there are."""
        return True

    def _join_copies(self, memory: ShotMemory) -> ShotMemory:
        """The memory with near copies joined to one image."""
        if not self._counts_images:
            return memory
        with one_thread():
            memory = memory.with_near_copies()
        group = memory.grouped_shots.group
        joined = np.isin(group, group[group != memory.shots.group])
        if joined.any():
            n_images = len(np.unique(group[joined]))
            warn_caller(
                f"{joined.sum()} of {len(joined)} shots are near copies of others, such as"
                f" augmentations or frames of a film. They count as {n_images}"
                f" {'image' if n_images == 1 else 'images'}.",
                advice=(
                    "Mark copies of one image with equal values of groups; groups=[None] * len(y)"
                    " says that there are none."
                ),
            )
        return memory

    def _learn(self, X, y, classes, sample_weight, groups, earlier, **options):
        """`fit`, or `partial_fit` after an `earlier` state. If it fails, the estimator does not
        change.
        """
        # 1. Input: rows with a weight, and the sorted labels of all classes.
        rows = self._read(X, y, sample_weight, groups, reset=earlier is None)
        classes = validate_classes(classes, earlier and earlier.classes, rows.labels)
        # 2. Texts: from labels to names to prompts to one unit embedding `T_c` of each class.
        class_prompts = self._describe(classes, {} if earlier is None else self._known_names())
        texts = read_texts(self.text_encoder, class_prompts.prompts, self._reads_projection)
        for part in (texts.embeddings, texts.projection):
            if part is not None:
                require_width(rows.embeddings.shape[1], part.shape[1])
        if texts.embeddings is not None and lacks_mean(
            # Classes without a text are left out: their text is the mean of the other texts.
            rows.embeddings,
            texts.embeddings[[name is not None for name in class_prompts.names]],
        ):
            warn_caller(
                "The embeddings look as if each column had been centred, as StandardScaler does."
                " The texts of the classes are not where such images are.",
                advice="Leave this step out: the classifier needs none.",
            )
        # 3. Shots: equal rows become one shot. Near copies may count as one image.
        if earlier is None:
            memory = ShotMemory.without_shots(rows.embeddings)
        else:
            memory = earlier.memory.for_classes(positions(earlier.classes, classes))
        memory = memory.add(rows, np.searchsorted(classes, rows.labels.astype(classes.dtype)))
        require_shots(classes, memory.shots.codes, class_prompts)
        if not memory.shots.X.any():
            raise ValueError("X has nothing but zeros, which teach nothing. Embed images first.")
        memory = self._join_copies(memory)
        if texts.embeddings is None and nothing_checks(memory.grouped_shots):
            warn_caller(
                "Each class has one image and no name. So no image can be held out to check"
                " probabilities, which may be far from the share of the labels that is right.",
                advice="Give each class a second image, or names: text_encoder and class_names.",
            )
        if texts.embeddings is not None:
            judged = judge_names_of_classes(memory.grouped_shots, texts, len(classes))
            warn_of_names(classes, class_prompts.names, judged, self._drops_names_of_chance)
            texts = replace(texts, is_chance=judged.is_chance)
        # 4. Fitted state, for predictions and later calls. Texts have the precision of the shots.
        log_prior, T = self._log_prior(memory, classes), texts.embeddings
        model, judged = self._fit_model(classes, memory, texts, **options)
        fitted = Fitted(
            classes,
            class_prompts,
            None if T is None else T.astype(memory.shots.X.dtype),
            replace(memory, judged=judged),
            model,
            log_prior,
        )
        if earlier is None:
            validate_data(self, X, skip_check_array=True)
        self._set_fitted(fitted)
        return self

    def _read(self, X, y, sample_weight, groups, reset):
        """The checked input as `Rows`."""
        if self.text_encoder is not None:
            check_text_encoder(self)
        embeddings = validate_training_embeddings(self, X, reset=reset)
        labels = validate_labels(y, len(embeddings))
        weight = validate_weights(sample_weight, len(embeddings))
        if reset and sample_weight is not None:
            warn_of_class_weights(labels, weight)
        return Rows(
            embeddings, labels, weight, validate_groups(groups, len(embeddings))
        ).with_weight()

    def _log_prior(self, memory, classes):
        """Logarithms of `priors`. A class without shots counts as if it had one shot."""
        if self.priors is None:
            return None
        if not isinstance(self.priors, str):
            return validate_priors(self.priors, classes)
        images = memory.grouped_shots.images()
        seen, codes = np.unique(images.codes, return_inverse=True)
        counts = np.ones(len(classes))
        counts[seen], _ = effective_numbers(codes, images.weight)
        return np.log(counts / counts.sum())

    def with_classes(self, classes: ArrayLike) -> Self:
        """Return a fitted classifier with other classes: fewer classes, or new classes that have
        only a name. Shots count as they did in `fit`.

        Parameters
        ----------
        classes : array-like of shape (C,)
            Labels. New classes need the text encoder of `fit`, and a name if `class_names` is
            given.

        Returns
        -------
        estimator
            A new classifier over these classes, sorted in its `classes_`.

        Raises
        ------
        ValueError
            If a new class has no text, or none of the classes has shots.
        """
        check_is_fitted(self)
        fitted = self._fitted
        wanted = validate_classes(classes)
        indices = positions(fitted.classes, wanted)
        class_prompts, texts = self._with_new_texts(wanted, indices)
        memory = fitted.memory.for_classes(indices)
        require_shots(wanted, memory.shots.codes, class_prompts)
        # A list of names, and priors, have the order of the old classes.
        params: dict[str, Any] = {}
        if texts is not None and is_sequence(self.class_names):
            params["class_names"] = class_prompts.names
        log_prior = fitted.log_prior
        priors: Any = self.priors
        said = priors.keys() if hasattr(priors, "keys") else ()
        is_said = isinstance(self.priors, str) or {*wanted.tolist()} <= {*said}
        if log_prior is not None and is_said:
            log_prior = self._log_prior(memory, wanted)
        elif log_prior is not None:
            # A new class counts as frequent as the other classes are on average.
            prior = np.where(indices < 0, np.exp(log_prior).mean(), np.exp(log_prior)[indices])
            params["priors"] = prior / prior.sum()
            log_prior = np.log(params["priors"])
        other = fitted.for_classes(wanted, indices, class_prompts, texts, log_prior)
        return self._clone_with(other, **params)


def nothing_checks(shots: Shots) -> bool:
    """Whether several classes have only one image each."""
    images = np.unique(np.stack([shots.codes, shots.group]), axis=1)[0]
    return len(images) == len(np.unique(images)) > 1


def require_shots(classes, codes, class_prompts):
    """Refuse classes without shots `codes (n,)` and without text, and classes of which none has
    shots.
    """
    has_shots = np.isin(np.arange(len(classes)), codes)
    has_no_text = [name is None for name in class_prompts.names]
    missing = classes[~has_shots & has_no_text].tolist()
    if missing:
        raise ValueError(
            f"There are no shots of the classes {missing}, and no text. Give shots, or a"
            " text_encoder and a name in class_names."
        )
    if not has_shots.any():
        raise ValueError(
            f"None of the classes {classes.tolist()} has shots. Use ZeroShotClassifier for names"
            " alone."
        )


def lacks_mean(X: NDArray[Any], texts: NDArray[Any]) -> bool:
    """Whether texts `(C, D)` have a mean direction, and images `(n, D)` have none.

    CLIP embeddings of images fill a narrow cone, and embeddings of texts another one. Without its
    mean direction, a cone is a ball. The result is False if images or texts have one row.
    """
    n, n_texts = len(X), len(texts)
    if min(n, n_texts) < 2:
        return False
    images, of_texts = sum_of_directions(X), sum_of_directions(texts)
    is_ball = mean_cosine(images, n) < BALL and images @ of_texts / (n * n_texts) < BALL
    return bool(is_ball and mean_cosine(of_texts, n_texts) > CONE)


def sum_of_directions(rows: NDArray[Any]) -> NDArray[np.float64]:
    """The sum of rows, scaled to unit length, some at a time in double precision `(D,)`."""
    total = np.zeros(rows.shape[1])
    for some in blocks(len(rows)):
        total += l2_normalize(rows[some].astype(np.float64)).sum(axis=0)
    return total


def mean_cosine(total: NDArray[np.float64], n: int) -> float:
    """The mean cosine of two different rows, of `n` rows of unit length with this sum `(D,)`."""
    return float(total @ total - n) / (n * (n - 1))


def warn_of_class_weights(labels: NDArray[Any], weight: NDArray[np.float64]) -> None:
    """Warn of weights that are the same within each class and differ between classes. Such weights
    change nothing. "Balanced" weights cause no warning, since priors are equal anyway.
    """
    # A weight of zero leaves out shots, as in bagging, or a whole class.
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    total = np.bincount(codes, weights=weight)
    of_class = total / counts
    kept = total > 0
    is_constant = np.allclose(weight, of_class[codes], rtol=1e-6, atol=0)
    if is_constant and differ(of_class[kept]) and differ(total[kept]):
        heavy = classes[[of_class.argmax()]].tolist()[0]
        warn_caller(
            "sample_weight is the same for all shots of a class, and differs between classes, which"
            " changes nothing: weights compare the shots of one class.",
            advice=f"To have more images predicted as {heavy!r}, set priors.",
        )


def differ(numbers: NDArray[Any]) -> bool:
    """Whether numbers differ by more than rounding."""
    return not np.allclose(numbers, numbers[0], rtol=1e-6, atol=0)


def judge_names_of_classes(shots: Shots, texts: ClassTexts, n_classes: int) -> JudgedNames:
    """The judgement of `Shots` on the names of `n_classes` classes."""
    # A sample of many shots gives the same judgement.
    most = min(MOST_JUDGED, MOST_VALUES // n_classes)
    some = shots.take(evenly_spaced(len(shots.codes), most))
    known = put_classes_with_shots_first(some, texts, n_classes)
    judged, classes = judge_names(known.shots, known.texts), known.classes
    exchanged = {int(classes[c]): int(classes[k]) for c, k in judged.exchanged.items()}
    return JudgedNames(judged.is_chance, exchanged)


def warn_of_names(classes, names, judged, are_dropped):
    """Warn if shots contradict the names of their classes. `names` has None for a class without
    text. With `are_dropped`, names that are no better than chance are not used. Otherwise they
    count as far as shots support them.
    """
    if not judged.is_chance and not judged.exchanged:
        return

    def named(c):
        label, name = classes[[c]].tolist()[0], names[c]
        return repr(name) if label == name else f"{label!r} -> {name!r}"

    pairs = judged.exchanged
    if pairs:
        shown = [f"{named(c)} (like {names[other]!r})" for c, other in pairs.items()]
    else:
        shown = [named(c) for c, name in enumerate(names) if name is not None]
    said = []
    if judged.is_chance:
        unused = ", so that they are not used" if are_dropped else ""
        said.append(f"The names of the classes are no better than chance on the shots{unused}")
    if pairs:
        said.append(
            f"The shots of {len(pairs)} of {len(classes)} classes fit the name of another class"
            " better, as if names or labels were exchanged"
        )
    warn_caller(
        f"{'. '.join(said)}: {listed(shown, 3)}.",
        advice=(
            "Look at some of them. class_names as a mapping from labels to names needs no order,"
            " and 'ignore' does without. The model of text_encoder must be that of the images."
        ),
    )


def warn_of_labels(
    label_weight: NDArray[np.float64], known: ClassesWithShots, classes: NDArray[Any], advice: str
) -> None:
    """Warn of the shots whose labels are hardly believed, by `label_weight (n,)`."""
    doubted = label_weight < 0.5
    if doubted.any():
        first = known.classes[known.shots.codes[doubted.argmax()]]
        warn_caller(
            f"{doubted.sum()} of {len(doubted)} shots hardly count, because their labels look"
            f" wrong. The first is labelled {classes[[first]].tolist()[0]!r}.",
            advice=f"{advice} label_noise=0 trusts all labels.",
        )


class ClassesWithShots(NamedTuple):
    """Shots and texts, with the classes that have shots numbered from zero, and all other classes
    last.
    """

    shots: Shots
    texts: ClassTexts
    classes: NDArray[np.intp]  # index of each class with shots
    number: NDArray[np.intp]  # for each class its new number, or -1 without shots


def put_classes_with_shots_first(
    shots: Shots, texts: ClassTexts, n_classes: int
) -> ClassesWithShots:
    """`ClassesWithShots` of `Shots` of `n_classes` classes."""
    with_shots, codes = np.unique(shots.codes, return_inverse=True)
    number = np.full(n_classes, -1)
    number[with_shots] = np.arange(len(with_shots))
    if len(with_shots) < n_classes:  # otherwise texts have this order already
        texts = texts.take(np.append(with_shots, np.flatnonzero(number < 0)))
    return ClassesWithShots(replace(shots, codes=codes), texts, with_shots, number)
