"""Names of classes: which spellings mean one class, and what became of a name that a person
changed.
"""

from ..._utils.validation import comparable
from .._messages import CONTROL, UsageError

NONE_OF_THESE = "none of these"


def words_of(name):
    """The words of a name. In names of folders, `_` is a space."""
    return name.replace("_", " ")


def refuse_control(argument, names):
    """Refuse names with characters that a terminal obeys."""
    for name in names:
        if CONTROL.search(name):
            raise UsageError(
                f"{argument}: the name {name!r} has control characters; leave them out"
            )


def refuse_names(argument, names):
    """Refuse names that no class can have: blank names, names with control characters, and "none of
    these".
    """
    refuse_control(argument, names)
    for name in names:
        if not comparable(name):
            raise UsageError(f"{argument}: the name {name!r} is blank; give another one")
        if comparable(name) == NONE_OF_THESE:
            raise UsageError(
                f"{argument}: {name!r} means that an image is of none of the classes, and is no"
                " class; give it another name, or leave it out"
            )


class ClassNames:
    """The classes, and the class that each name ever given means.

    A name that was renamed or joined means the new one from then on, so that no name goes round in
    a circle. A name that was dropped means nothing until it is given again.
    """

    def __init__(self, given=()):
        # Keys are comparable spellings. `_names` has the names of classes, and `_became` the
        # spelling that replaced a name, None if the class was dropped.
        self._names, self._became = {}, {}
        for name in given:
            self.add(name)

    def copy(self):
        same = ClassNames()
        same._names, same._became = dict(self._names), dict(self._became)
        return same

    @property
    def current(self):
        """Sorted names of all classes."""
        return sorted(self._names.values())

    def current_name(self, name):
        """The class that a name means, or None if there is none."""
        return self._names.get(self._last(comparable(name)))

    def before(self, name):
        """Earlier names of a class in comparable spelling, the last first."""
        found = [comparable(name)]
        for earlier in found:
            olds = [old for old, new in reversed(self._became.items()) if new == earlier]
            found += [old for old in olds if old not in found]
        return found[1:]

    def is_dropped(self, name):
        """Whether a name means nothing because its class was dropped."""
        return self._became.get(self._last(comparable(name)), "") is None

    def _last(self, key):
        while self._became.get(key) is not None:
            key = self._became[key]
        return key

    def add(self, name):
        """Add a class of this name unless there is one, and return the name of the class."""
        key = self._last(comparable(name))
        self._became.pop(key, None)
        return self._names.setdefault(key, name)

    def rename(self, old, new):
        """Rename a class, or join it to the class that has the new name. Return its name."""
        before, after = self._last(comparable(old)), comparable(new)
        if before not in self._names:
            return None
        if after != before and self._last(after) != before and self.current_name(new) is not None:
            return self.join([old], new)
        del self._names[before]
        self._became.pop(after, None)
        if after != before:
            self._became[before] = after
        return self.add(new)

    def join(self, names, into):
        """Join classes into one class with the name `into`. Return its name."""
        stays, last = self.add(into), self._last(comparable(into))
        for name in names:
            key = self._last(comparable(name))
            if key != last and self._names.pop(key, None) is not None:
                self._became[key] = last
        return stays

    def drop(self, name):
        """Drop a class, and return its name, or None if there is no such class."""
        key = self._last(comparable(name))
        if key not in self._names:
            return None
        self._became[key] = None
        return self._names.pop(key)
