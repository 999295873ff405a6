"""Which pictures were given to which tab, so that two persons are not asked the same."""

import threading
import time

# Seconds for which a picture is reserved for the tab that it was given to.
RESERVED_FOR = 60


class Reserved:
    """Pictures by number. Methods may be called from several threads."""

    def __init__(self):
        self._lock, self._given = threading.Lock(), {}

    def clear(self):
        with self._lock:
            self._given = {}

    def of_others(self, tab):
        """The pictures that another tab was given within a minute."""
        now = time.monotonic()
        with self._lock:
            self._given = {
                number: given
                for number, given in self._given.items()
                if now - given[1] < RESERVED_FOR
            }
            return {number for number, (other, _) in self._given.items() if other != tab}

    def order(self, tab, numbers, n_reserved):
        """The pictures in this order, those last that are reserved for others. The first are
        reserved for this tab.
        """
        others = self.of_others(tab)
        own = [number for number in numbers if number not in others]
        with self._lock:
            self._given |= dict.fromkeys(own[:n_reserved], (tab, time.monotonic()))
        return own + [number for number in numbers if number in others]
