"""The parameters of the paper's method, as objects that scikit-learn reaches into."""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Literal

from sklearn.base import BaseEstimator

from .._utils.sklearn import Interval, StrOptions

NOT_NEGATIVE = Interval(Real, 0, None, closed="left")


@dataclass(repr=False, eq=False)
class PaperBlend(BaseEstimator):
    """The score of the paper, a blend of three affinities by given numbers.

    `score_c = lambda1 exp(-alpha (1 - z1)) + [lambda2 exp(-beta (1 - z2)) + lambda3 exp(-gamma (1 - z3))] w_c` for the
    affinities of a query to the text of class `c` (`z1`), to its bridged shots (`z2`), and of the bridged query to its
    shots (`z3`). The weight `w_c = exp(smoothness * KL_c)` is larger the less the text of a class fits its shots.

    The paper (arXiv 2509.26036) tunes the seven numbers on a large validation split. The defaults need none.

    Parameters
    ----------
    alpha, beta, gamma : float, default=6.0, 1.0, 1.5
        Sharpness of the three terms.
    lambda1, lambda2, lambda3 : float, default=1.0, 0.25, 0.05
        Weights of the three terms. At least one that is used is above zero.
    smoothness : float, default=0.01
        Strength of the class weights.
    atol : "auto" or float, default="auto"
        Singular values of the text projection at or below it are treated as zero. `"auto"` is 0.7 times
        their median, safe for any model; the paper uses 0.3.
    temperature : "auto", float or None, default="auto"
        What the log of the score is multiplied by. It changes probabilities, not predictions. `"auto"` estimates it
        from the shots. None is 1, exactly the paper's score.

    Examples
    --------
    >>> from sksemobridge import PaperBlend
    >>> PaperBlend(alpha=5.0, temperature=None).set_params(atol=0.3)
    PaperBlend(alpha=5.0, atol=0.3, temperature=None)
    """

    _parameter_constraints = {
        **dict.fromkeys(["alpha", "beta", "gamma", "lambda1", "lambda2", "lambda3"], [NOT_NEGATIVE]),
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
    """How the bridge is trained on the shots.

    The loss is the paper's, `lambda_it * img + (1 - lambda_it) * (txtp + txte) / 2 + lambda_c * cons + lambda_b * bias`.

    Parameters
    ----------
    optimizer : {"lbfgs", "adamw"}, default="lbfgs"
        `"adamw"` is the paper's recipe, step for step; `"lbfgs"` minimises the same loss, many times faster.
    class_bias : bool, default=True
        Whether each class learns a bias, added to its shots only.
    lambda_it, lambda_c, lambda_b : float, default=0.5, 0.1, 0.1
        Weights of the loss: of images against texts, of the consistency of the shots, and of the bias.
    max_iter : int or None, default=None
        Steps. None is 5,000 for `"adamw"`, the paper's number, and 1,000 at the most for `"lbfgs"`.
    learning_rate : float, default=1.5e-4
        Of `"adamw"`, after a warm-up of 500 steps.
    weight_decay : float, default=0.01
        Of `"adamw"`.
    tol : float, default=1e-6
        `"lbfgs"` stops when ten iterations lower the loss by less than `tol / 2` of itself on average.
    device : str, default="auto"
        Torch device. `"auto"` is a CUDA device where there is one, else the CPU.
    verbose : int, default=0
        Whether a bar shows progress.

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
        "lambda_c": [NOT_NEGATIVE],
        "lambda_b": [NOT_NEGATIVE],
        "max_iter": [Interval(Integral, 1, None, closed="left"), None],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [NOT_NEGATIVE],
        "tol": [NOT_NEGATIVE],
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
        """`max_iter`, or the number that None stands for."""
        # For L-BFGS several times the usual number.
        return self.max_iter or {"adamw": 5000, "lbfgs": 1000}[self.optimizer]
