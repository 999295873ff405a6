"""Pictures that are reserved for tabs, so that two persons are not asked the same picture."""

import threading
import time

# Seconds for which a picture is reserved for the tab that it was given to.
RESERVED_FOR = 60


class Reserved:
    """Reserved pictures by number. Methods may be called from several threads."""

    def __init__(self):
        self._lock, self._given = threading.Lock(), {}

    def clear(self):
        with self._lock:
            self._given = {}

    def of_others(self, tab):
        """The pictures that were given to another tab within the last minute."""
        snapshot = time.monotonic()
        with self._lock:
            self._given = {
                number: given
                for number, given in self._given.items()
                if snapshot - given[1] < RESERVED_FOR
            }
            return {number for number, (other, _) in self._given.items() if other != tab}

    def order(self, tab, numbers, n_reserved):
        """The pictures in this order, with pictures that are reserved for other tabs last. The
        first `n_reserved` pictures are reserved for this tab.
        """
        others = self.of_others(tab)
        own = [number for number in numbers if number not in others]
        with self._lock:
            self._given |= dict.fromkeys(own[:n_reserved], (tab, time.monotonic()))
        return own + [number for number in numbers if number in others]
