"""The parameters of the method of the paper. Searches of scikit-learn can set them, as in
`blend__alpha`.
"""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Literal

from sklearn.base import BaseEstimator

from .._utils.sklearn import Interval, StrOptions

NOT_NEGATIVE = Interval(Real, 0, None, closed="left")


@dataclass(repr=False, eq=False)
class PaperBlend(BaseEstimator):
    """The score of the SeMoBridge paper (arXiv 2509.26036): three cosines and seven numbers.

    `score_c = lambda1 exp(-alpha (1 - z1))
    + [lambda2 exp(-beta (1 - z2)) + lambda3 exp(-gamma (1 - z3))] w_c`, with the cosines of the
    query and the text of class `c` (`z1`), of the query and the bridged shots (`z2`), and of the
    bridged query and the shots (`z3`). `w_c = exp(smoothness * KL_c)` is larger if the text fits
    the shots less.
    https://github.com/sksemobridge/sksemobridge/blob/main/docs/paper.md has more.

    Parameters
    ----------
    alpha, beta, gamma : float, default=6.0, 1.0, 1.5
        Sharpness of the three terms.
    lambda1, lambda2, lambda3 : float, default=1.0, 0.25, 0.05
        Weights of the three terms. At least one of them must be above zero.
    smoothness : float, default=0.01
        Strength of the class weights.
    atol : "auto" or float, default="auto"
        Singular values of the text projection up to `atol` count as zero. `"auto"` is 0.7 times
        their median. The paper uses 0.3.
    temperature : "auto", float or None, default="auto"
        Factor of the logarithm of the score, which changes no predictions. `"auto"` estimates it
        from the shots. None is 1, as in the paper.

    Notes
    -----
    Longer rows count more in the class means. `fit` warns if the lengths of its rows differ by more
    than a factor of three. After `fit`, `SeMoBridgeClassifier` has `prototypes_` and `image_means_`
    (`P_c` and `F_c`, `(C, D)`), `bridge_` (`W+`, `(D, d)`), its `rank_`, `class_bias_` (`(C, d)` or
    None), `temperature_`, and `loss_curve_` and `n_iter_` of the training.

    Examples
    --------
    >>> from sksemobridge import PaperBlend
    >>> PaperBlend(alpha=5.0, temperature=None).set_params(atol=0.3)
    PaperBlend(alpha=5.0, atol=0.3, temperature=None)
    """

    _parameter_constraints = {
        **dict.fromkeys(
            ["alpha", "beta", "gamma", "lambda1", "lambda2", "lambda3"], [NOT_NEGATIVE]
        ),
        "smoothness": [Interval(Real, None, None, closed="neither")],
        "atol": [StrOptions({"auto"}), NOT_NEGATIVE],
        "temperature": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither"), None],
    }

    alpha: float = 6.0
    beta: float = 1.0
    gamma: float = 1.5
    lambda1: float = 1.0
    lambda2: float = 0.25
    lambda3: float = 0.05
    smoothness: float = 0.01
    _: KW_ONLY
    atol: float | Literal["auto"] = "auto"
    temperature: float | Literal["auto"] | None = "auto"


@dataclass(repr=False, eq=False)
class Training(BaseEstimator):
    """The training of the bridge on the shots, for `solver` of `SeMoBridgeClassifier`.

    The loss is that of the paper:
    `lambda_it * img + (1 - lambda_it) * (txtp + txte) / 2 + lambda_c * cons + lambda_b * bias`.

    Parameters
    ----------
    optimizer : {"lbfgs", "adamw"}, default="lbfgs"
        `"adamw"` is the recipe of the paper, step for step. `"lbfgs"` minimises the same loss, many
        times faster.
    class_bias : bool, default=True
        Whether each class learns a bias, which is added only to its shots.
    lambda_it, lambda_c, lambda_b : float, default=0.5, 0.1, 0.1
        Weights of the loss: images against texts, consistency of the shots, and bias.
    max_iter : int or None, default=None
        Number of steps. None is 5,000 for `"adamw"`, as in the paper, and at most 1,000 for
        `"lbfgs"`.
    learning_rate, weight_decay : float, default=1.5e-4, 0.01
        For `"adamw"`. The learning rate is reached after 500 steps.
    tol : float, default=1e-6
        `"lbfgs"` stops if the relative decrease of the loss, averaged over ten iterations, is below
        `tol / 2`.
    device : str, default="auto"
        Torch device. `"auto"` is a CUDA GPU if there is one, else the CPU.
    verbose : int, default=0
        Whether to show a progress bar.

    Examples
    --------
    >>> from sksemobridge import Training
    >>> Training("adamw", max_iter=200).get_params()["optimizer"]
    'adamw'
    """

    _parameter_constraints = {
        "optimizer": [StrOptions({"adamw", "lbfgs"})],
        "class_bias": ["boolean"],
        "lambda_it": [Interval(Real, 0, 1, closed="both")],
        **dict.fromkeys(["lambda_c", "lambda_b", "weight_decay", "tol"], [NOT_NEGATIVE]),
        "max_iter": [Interval(Integral, 1, None, closed="left"), None],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "device": [str],
        "verbose": ["verbose"],
    }

    optimizer: Literal["lbfgs", "adamw"] = "lbfgs"
    _: KW_ONLY
    class_bias: bool = True
    lambda_it: float = 0.5
    lambda_c: float = 0.1
    lambda_b: float = 0.1
    max_iter: int | None = None
    learning_rate: float = 1.5e-4
    weight_decay: float = 0.01
    tol: float = 1e-6
    device: str = "auto"
    verbose: int | bool = 0

    @property
    def most_iterations(self):
        """`max_iter`, or its value for None."""
        return self.max_iter or {"adamw": 5000, "lbfgs": 1000}[self.optimizer]
