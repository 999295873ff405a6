"""How the bridge and its score are fitted: parameters of `SeMoBridgeClassifier`. Its docstring
describes them, and its signature has their defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from .score import Hyperparameters
from .solvers import SOLVERS, Solver
from .training import TrainingOptions


@dataclass(frozen=True)
class BridgeOptions:
    """What `bridge_classes` takes besides shots and texts."""

    solver: str
    given: Hyperparameters  # each a number or "auto"; without text `alpha` and `lambda1` are None
    temperature: float | Literal["auto"] | None
    label_noise: float | Literal["auto"]
    n_candidates: int
    random_state: Any
    atol: float | Literal["auto"]
    training: TrainingOptions

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> BridgeOptions:
        """The options among all parameters of the estimator, by name."""
        given = Hyperparameters(*(params[name] for name in Hyperparameters._fields))
        training = {field.name: params[field.name] for field in fields(TrainingOptions)}
        names = "solver", "temperature", "label_noise", "n_candidates", "random_state", "atol"
        others = {name: params[name] for name in names}
        return cls(given=given, training=TrainingOptions(**training), **others)

    @property
    def trained_by(self) -> Solver | None:
        """The solver that trains the bridge on the shots, or None in closed form."""
        return SOLVERS[self.solver]

    @property
    def auto(self) -> list[str]:
        """Names of the hyperparameters that are estimated."""
        return [name for name, value in self.given._asdict().items() if value == "auto"]

    @property
    def is_estimated(self) -> bool:
        """Whether the shots say anything of the score or its temperature."""
        return bool(self.auto) or self.temperature == "auto"

    @property
    def weighs_labels(self) -> bool:
        """Whether training weighs shots by how far their labels are believed. The closed form
        keeps its accuracy without.
        """
        return self.trained_by is not None and self.is_estimated and self.label_noise != 0

    def given_or(self, hyperparameters: Hyperparameters) -> Hyperparameters:
        """The hyperparameters that are given, and for the others those of the argument."""
        values: list[Any] = [
            estimate if own == "auto" else own for own, estimate in zip(self.given, hyperparameters)
        ]
        # A scalar of NumPy would make the score of single precision one of double precision.
        values = [None if value is None else float(value) for value in values]
        return Hyperparameters(*values)

    @property
    def given_temperature(self) -> float | None:
        """The temperature, or None if it is estimated."""
        return None if self.temperature == "auto" else float(self.temperature or 1.0)
