"""The parameter objects of the paper's method are scikit-learn's."""

import pytest

from sksemobridge._paper.parameters import PaperBlend, Training


@pytest.mark.parametrize(
    ("parameters", "name", "value"),
    [
        (PaperBlend(), "alpha", -1.0),
        (PaperBlend(), "atol", "none"),
        (PaperBlend(), "temperature", 0.0),
        (Training(), "optimizer", "sgd"),
        (Training(), "lambda_it", 1.5),
        (Training(), "max_iter", 0),
    ],
)
def test_a_value_out_of_range_is_scikit_learns_error(parameters, name, value):
    parameters._validate_params()
    with pytest.raises(
        ValueError, match=f"'{name}' parameter of {type(parameters).__name__} must be"
    ):
        parameters.set_params(**{name: value})._validate_params()


def test_the_optimizers_have_numbers_of_steps_of_their_own():
    assert [Training(name).most_iterations for name in ("adamw", "lbfgs")] == [5000, 1000]
    assert Training("adamw", max_iter=7).most_iterations == 7
