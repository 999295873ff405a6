"""What type checkers follow of the calls that users chain: mypy reads this, and nothing runs it."""
# mypy: warn-unused-ignores

from typing import Any, assert_type

from numpy.typing import NDArray

from sksemobridge import (
    CLIPImageEncoder,
    FewShotClassifier,
    ImagePipeline,
    SeMoBridgeClassifier,
    make_few_shot_pipeline,
)


def use() -> None:
    X = assert_type(CLIPImageEncoder().fit().transform(["a.jpg"]), NDArray[Any])
    classifier = assert_type(FewShotClassifier().fit(X, ["a"]), FewShotClassifier)
    assert_type(classifier.partial_fit(X, ["b"]).with_unlabeled(X).p_values(X), NDArray[Any])
    pipeline = assert_type(make_few_shot_pipeline(), ImagePipeline)
    assert_type(pipeline.with_classes(["a"]).p_values(["a.jpg"]), NDArray[Any])
    SeMoBridgeClassifier(solver="newton")  # type: ignore[arg-type]
