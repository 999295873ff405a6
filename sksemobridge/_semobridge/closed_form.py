"""The closed form of shots, and their cosines to the closed form of others.

Neither depends on the hyperparameters, so a process keeps both by their content: the candidates of
a search have them in common in each fold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._model.shots import Shots
from .._texts.encode import ClassTexts
from .._utils.lru import LRUCache, content_key, n_bytes, read_only
from .bridge import Bridge
from .bridged_classes import BridgedClasses, classes_of_sums, sums_of_shots
from .held_out import HeldOut, hold_out

# Bytes of all results that are kept, and of all trained bridges: 256 MB of each. A search goes
# through all folds for each candidate, so all of them have to fit. Cosines of the shots of a fold
# take at most 16 MB, and with 100 classes of 16 shots 5 MB. A bridge of ViT-B/16 with 100 classes
# takes 2.5 MB.
MOST_BYTES = 2**28

_kept = LRUCache(max_size=MOST_BYTES, size_of=n_bytes)


@dataclass(frozen=True, eq=False)
class ClosedForm:
    """The closed form of `Shots` and `ClassTexts`. Arrays of results are read-only."""

    bridge: Bridge
    shots: Shots
    texts: ClassTexts

    def classes(self) -> BridgedClasses:
        """The classes of all shots."""
        return self._once("classes", lambda: self._of_part(np.ones(len(self.shots.codes))))

    def held_out(self) -> list[tuple[float, HeldOut]]:
        """The result of `hold_out`."""
        return self._once("held out", lambda: hold_out(self._of_part, self.shots))

    def _once(self, name: str, compute: Callable[[], Any]) -> Any:
        return _kept.get((name, *self._key), lambda: read_only(compute()))

    @cached_property
    def _key(self):
        bridge, shots, texts = self.bridge, self.shots, self.texts
        # The inverse of the projection follows from it and from the cutoff.
        parts = (
            *(bridge.projection, bridge.atol, bridge.projection_bias, bridge.text_length),
            *(shots.X, shots.codes, shots.weight, shots.group),
            *(texts.embeddings, texts.has_text),
        )
        return tuple(content_key(p) if isinstance(p, np.ndarray) else p for p in parts)

    @cached_property
    def _sums(self):
        return sums_of_shots(self.bridge, self.shots, np.ones(len(self.shots.codes)))

    def _of_part(self, part):
        """The classes of shots that have the `part (n,)` of their weights."""
        rest = sums_of_shots(self.bridge, self.shots, 1 - part)
        images = self.shots.distinct_images(part)
        return classes_of_sums(self.bridge, self._sums.without(rest), images, self.texts)
