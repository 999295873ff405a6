"""Tools of scikit-learn, imbalanced-learn and skrub around both classifiers with names, which begin
with embeddings or with pictures.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import Pipeline
from sklearn.semi_supervised import SelfTrainingClassifier

from sksemobridge import (
    FewShotClassifier,
    SeMoBridgeClassifier,
    make_few_shot_pipeline,
    make_semobridge_pipeline,
)

from .encoder_helpers import some_emoji
from .made_up import World, misleading_names
from .versions import needs_sklearn

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* shots are near copies of others"),
    pytest.mark.filterwarnings("ignore:.* shots hardly count"),
]


# Both classifiers, from embeddings and from pictures


def of_embeddings(kind):
    world = World()
    (X, y), (queries, _) = world.draw(6, noise=2.5), world.draw(3, noise=2.5)
    return world.classifier(kind), X, y, queries


def of_pictures(make):
    images, y = some_emoji(["arrow", "bird", "clock", "fruit"], 10)
    column = np.empty((len(images), 1), dtype=object)  # as a column of a table
    column[:, 0] = list(images)
    return make("mini", "bundled"), column[::2], y[::2], column[1::6]


ESTIMATORS = {
    "few shots": (of_embeddings, FewShotClassifier),
    "SeMoBridge": (of_embeddings, SeMoBridgeClassifier),
    "few shots of pictures": (of_pictures, make_few_shot_pipeline),
    "SeMoBridge of pictures": (of_pictures, make_semobridge_pipeline),
}


@pytest.fixture(scope="module", params=ESTIMATORS.values(), ids=ESTIMATORS)
def case(request):
    """An estimator, and what it learns and predicts."""
    make, kind = request.param
    estimator, X, y, queries = make(kind)
    names, codes = np.unique(y, return_inverse=True)
    return SimpleNamespace(estimator=estimator, X=X, y=y, queries=queries, names=names, codes=codes)


def with_classifier(estimator, change):
    """The estimator with another classifier, which is the last step of a pipeline."""
    if not isinstance(estimator, Pipeline):
        return change(clone(estimator))
    *steps, (name, last) = clone(estimator).steps
    return Pipeline([*steps, (name, change(last))])


class ByHand(ClassifierMixin, BaseEstimator):
    """A classifier whose user names the labels that a tool has numbered."""

    def __init__(self, classifier, names):
        self.classifier = classifier
        self.names = names

    def fit(self, X, y, sample_weight=None):
        is_text = isinstance(y[0], str)
        labels = y if is_text else self.names[y]
        self.fitted_ = clone(self.classifier).fit(X, labels, sample_weight)
        classes = self.fitted_.classes_
        self.classes_ = classes if is_text else np.searchsorted(self.names, classes)
        return self

    def predict(self, X):
        return self.classes_[np.searchsorted(self.fitted_.classes_, self.fitted_.predict(X))]

    def predict_proba(self, X):
        return self.fitted_.predict_proba(X)

    def predict_log_proba(self, X):
        return self.fitted_.predict_log_proba(X)

    def decision_function(self, X):
        return self.fitted_.decision_function(X)


def by_hand(case):
    return with_classifier(case.estimator, lambda last: ByHand(last, case.names))


def named(case, names):
    return with_classifier(case.estimator, lambda last: last.set_params(class_names=names))


def without_names(case):
    def change(last):
        if isinstance(last, FewShotClassifier):
            last.set_params(vocabulary=None)
        return last.set_params(class_names="ignore")

    return with_classifier(case.estimator, change)


# How tools are used: functions of an estimator and the case, which give numbers or labels


def fitted(make, y=lambda case: case.y, first=0):
    """What a tool around the estimator predicts."""

    def use(estimator, case):
        tool = make(estimator).fit(case.X[first:], y(case)[first:])
        predict = tool.predict_proba if hasattr(tool, "predict_proba") else tool.predict
        return np.array(predict(case.queries))

    return use


def fitted_to_embeddings(make, y=lambda case: case.y):
    """The same for tools that take numbers only: they come after the encoder."""

    def around_last(estimator):
        if not isinstance(estimator, Pipeline):
            return make(estimator)
        *steps, (_, last) = estimator.steps
        return Pipeline([*steps, ("tool", make(last))])

    return fitted(around_last, y)


def of_two_classes(make):
    def use(estimator, case):
        rows = case.codes < 2
        return make(estimator).fit(case.X[rows], case.y[rows]).predict(case.queries)

    return use


def searched(make):
    def use(estimator, case):
        search = make(estimator, grid(estimator)).fit(case.X, case.y)
        return np.append(search.cv_results_["mean_test_score"], search.predict_proba(case.queries))

    return use


def grid(estimator):
    name = next(name for name in estimator.get_params() if name.endswith("priors"))
    return {name: [None, "shots"]}


def predicted(method):
    return lambda estimator, case: cross_val_predict(estimator, case.X, case.y, cv=3, method=method)


def without_each_class(estimator, case):
    folds = GroupKFold(len(case.names)).split(case.X, groups=case.codes)
    return cross_val_predict(estimator, case.X, case.codes, cv=folds)


def scored(function, **options):
    return lambda estimator, case: function(estimator, case.X, case.y, cv=2, **options)[1]


def validated(estimator, case):
    ((name, values),) = grid(estimator).items()
    return scored(validation_curve, param_name=name, param_range=values)(estimator, case)


def frozen(estimator, case):
    return fitted(lambda e: CalibratedClassifierCV(FrozenEstimator(e.fit(case.X, case.y))))(
        estimator, case
    )


def calibrated(method, ensemble=True):
    return fitted(lambda e: CalibratedClassifierCV(e, method=method, cv=2, ensemble=ensemble))


def members(estimator):
    return [
        ("ours", estimator),
        ("other", with_classifier(estimator, lambda _: LogisticRegression())),
    ]


def resampled(name):
    def use(estimator, case):
        pytest.importorskip("imblearn")
        from imblearn import over_sampling, under_sampling
        from imblearn.pipeline import make_pipeline

        kind = getattr(over_sampling, name, None) or getattr(under_sampling, name)
        return fitted(lambda e: make_pipeline(kind(random_state=0), e), first=3)(estimator, case)

    return use


def balanced(estimator, case):
    ensemble = pytest.importorskip("imblearn.ensemble")
    bags = lambda e: ensemble.BalancedBaggingClassifier(e, 2, random_state=0)  # noqa: E731
    return fitted(bags, first=3)(estimator, case)


def in_skrub(estimator, case):
    skrub = pytest.importorskip("skrub")
    learner = skrub.X(case.X).skb.apply(estimator, y=skrub.y(case.y)).skb.make_learner()
    learner.fit({"X": case.X, "y": case.y})
    return learner.predict_proba({"X": case.queries})


def half_labelled(case):
    return np.where(np.arange(len(case.y)) % 2, case.y.astype(object), -1)


def half_numbered(case):
    return np.where(np.arange(len(case.y)) % 2, case.codes, -1)


def two_outputs(case):
    return np.column_stack([case.y, np.roll(case.names, 1)[case.codes]])


def indicators(case):
    return (case.y[:, None] == case.names).astype(int)


AS_BY_HAND = {
    "cross_val_predict": predicted("predict"),
    "cross_val_predict of probabilities": predicted("predict_proba"),
    "cross_val_predict of their logarithms": predicted("predict_log_proba"),
    "cross_val_predict of decisions": predicted("decision_function"),
    "folds without each class": without_each_class,
    "cross_val_score": lambda estimator, case: cross_val_score(
        estimator, case.X, case.y, cv=2, scoring="roc_auc_ovr"
    ),
    "hard vote": fitted(lambda e: VotingClassifier(members(e))),
    "soft vote": fitted(lambda e: VotingClassifier(members(e), voting="soft")),
    "stack": fitted(lambda e: StackingClassifier(members(e), LogisticRegression(), cv=2)),
    "bags": fitted(lambda e: BaggingClassifier(e, 2, max_samples=5, random_state=0)),
    "AdaBoost": fitted_to_embeddings(lambda e: AdaBoostClassifier(e, n_estimators=2)),
    "several outputs": fitted(MultiOutputClassifier, two_outputs),
    "sigmoid calibration": calibrated("sigmoid"),
    "isotonic calibration": calibrated("isotonic"),
    "calibration of one classifier": calibrated("sigmoid", ensemble=False),
    "calibration of a frozen one": frozen,
    "self-training": fitted_to_embeddings(SelfTrainingClassifier, half_labelled),
    "self-training on numbers": fitted_to_embeddings(SelfTrainingClassifier, half_numbered),
    "tuned threshold": of_two_classes(lambda e: TunedThresholdClassifierCV(e, cv=2, thresholds=5)),
    "fixed threshold": of_two_classes(lambda e: FixedThresholdClassifier(e, threshold=0.4)),
    "grid search": searched(lambda e, grid: GridSearchCV(e, grid, cv=2)),
    "random search": searched(lambda e, grid: RandomizedSearchCV(e, grid, n_iter=1, cv=2)),
    "halving": searched(
        lambda e, grid: HalvingGridSearchCV(e, grid, cv=2, min_resources=12, random_state=0)
    ),
    "random halving": searched(
        lambda e, grid: HalvingRandomSearchCV(e, grid, cv=2, min_resources=12, random_state=0)
    ),
    "learning curve": scored(learning_curve, train_sizes=[0.5, 1.0]),
    "validation curve": validated,
    "permutation test": scored(permutation_test_score, n_permutations=1, random_state=0),
    "oversampling": resampled("RandomOverSampler"),
    "undersampling": resampled("RandomUnderSampler"),
    "balanced bags": balanced,
    "skrub": in_skrub,
}
# A fold without the last class has the numbers that a tool would give to the others.
fewer_labels = pytest.mark.filterwarnings("ignore:The labels 0 to . are read as the first")
# Labels are put to other images.
MISLEADING = {"several outputs", "permutation test"}
TEMPERATURE = pytest.param(
    calibrated("temperature"),
    id="temperature",
    marks=needs_sklearn("1.8", "has no calibration by temperature"),
)
SIDES = {
    "one against the rest": fitted(OneVsRestClassifier),
    "several labels": fitted(OneVsRestClassifier, indicators),
    "one against one": fitted_to_embeddings(OneVsOneClassifier),
    "output codes": fitted(lambda e: OutputCodeClassifier(e, random_state=0)),
    "an output for each class": fitted(MultiOutputClassifier, indicators),
}
# These give the classifier other columns than its embeddings have.
OTHER_COLUMNS = {
    "RFE": (15, lambda e: RFE(e, importance_getter=lambda _: np.arange(16.0))),
    "bags of columns": (8, lambda e: BaggingClassifier(e, max_features=8)),
    "stack of stacks": (5, lambda e: StackingClassifier([("ours", e)], e, cv=2)),
}


def assert_equal(actual, expected):
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(actual, expected, atol=1e-6)
    else:
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(
    "use",
    [
        *(
            pytest.param(
                use,
                id=name,
                marks=[misleading_names] * (name in MISLEADING)
                + [fewer_labels] * (use is without_each_class),
            )
            for name, use in AS_BY_HAND.items()
        ),
        TEMPERATURE,
    ],
)
def test_a_tool_that_passes_labels_or_numbers_them_is_as_right_as_by_hand(case, use):
    assert_equal(use(named(case, case.names.tolist()), case), use(by_hand(case), case))


@pytest.mark.parametrize("use", SIDES.values(), ids=SIDES)
def test_a_tool_that_compares_some_classes_with_others_is_as_right_as_without_names(case, use):
    with pytest.warns(UserWarning, match="classes have names. Tools that compare some classes"):
        actual = use(named(case, dict(zip(case.names, case.names))), case)
    assert_equal(actual, use(without_names(case), case))


def test_a_chain_puts_columns_beside_the_embeddings(kind):
    classifier, X, y, _ = of_embeddings(kind)
    Y = y[:, None] == np.unique(y)
    chain = ClassifierChain(classifier.set_params(class_names="ignore"))
    if kind is FewShotClassifier:
        assert chain.fit(X, Y).score(X, Y) > 0.5
    else:
        with pytest.raises(ValueError, match="X has 17 features, .* VotingClassifier"):
            chain.fit(X, Y)


@pytest.mark.parametrize(("width", "make"), OTHER_COLUMNS.values(), ids=OTHER_COLUMNS)
def test_a_tool_that_gives_other_columns_is_told_that_texts_need_all(kind, width, make):
    classifier, X, y, _ = of_embeddings(kind)
    with pytest.raises(ValueError, match=f"X has {width} features, .* do without texts"):
        make(classifier.set_params(class_names=np.unique(y))).fit(X, y)
    bags = BaggingClassifier(kind(class_names="ignore"), 2, max_features=8, random_state=0)
    assert bags.fit(X, y).score(X, y) > 0.5
