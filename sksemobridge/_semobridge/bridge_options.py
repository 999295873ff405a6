"""How the bridge and its score are fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from .score import Hyperparameters


@dataclass(frozen=True)
class BridgeOptions:
    """The parameters of `SeMoBridgeClassifier` that its docstring describes, but for texts and
    priors.
    """

    solver: Literal["closed_form", "lbfgs", "adamw"] = "closed_form"
    # The score. Without text, `alpha` and `lambda1` are None.
    alpha: float | Literal["auto"] | None = "auto"
    beta: float | Literal["auto"] = "auto"
    gamma: float | Literal["auto"] = "auto"
    lambda1: float | Literal["auto"] | None = "auto"
    lambda2: float | Literal["auto"] = "auto"
    lambda3: float | Literal["auto"] = "auto"
    smoothness: float | Literal["auto"] = "auto"
    temperature: float | Literal["auto"] | None = "auto"
    n_candidates: int = 1000
    random_state: Any = 0
    # The bridge
    atol: float | Literal["auto"] = "auto"
    class_bias: bool = True
    lambda_it: float = 0.5
    lambda_c: float = 0.1
    lambda_b: float = 0.1
    max_iter: int | None = None
    learning_rate: float = 1.5e-4
    weight_decay: float = 0.01
    tol: float = 5e-5
    device: str = "auto"
    verbose: int | bool = 0

    @property
    def is_trained(self) -> bool:
        """Whether the bridge is trained on the shots."""
        return self.solver != "closed_form"

    @property
    def auto(self) -> list[str]:
        """Names of the hyperparameters that are estimated."""
        return [name for name in Hyperparameters._fields if getattr(self, name) == "auto"]

    def given_or(self, hyperparameters: Hyperparameters) -> Hyperparameters:
        """The hyperparameters that are given, and for the others those of the argument."""
        result: dict[str, Any] = {}
        for name, estimate in hyperparameters._asdict().items():
            own = getattr(self, name)
            value = estimate if own == "auto" else own
            # A scalar of NumPy would make the score of single precision one of double precision.
            result[name] = None if value is None else float(value)
        return Hyperparameters(**result)

    @property
    def given_temperature(self) -> float | None:
        """The temperature, or None if it is estimated."""
        return None if self.temperature == "auto" else float(self.temperature or 1.0)

    @property
    def most_iterations(self) -> int:
        """`max_iter`, or its value for None."""
        return self.max_iter or {"adamw": 5000, "lbfgs": 1000}[self.solver]

    def of_training(self) -> BridgeOptions:
        """With defaults for what does not change a trained bridge, the score among it."""
        score = *Hyperparameters._fields, "temperature", "n_candidates", "random_state", "verbose"
        return replace(self, **{name: getattr(BridgeOptions, name) for name in score})
