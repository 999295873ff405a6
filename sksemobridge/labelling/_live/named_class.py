"""The class that a typed text means."""

from ..._utils.validation import comparable
from .._answers.class_names import NONE_OF_THESE
from .._messages import CONTROL
from .._photos.folder_table import plain
from .refused import Refused

# Most letters of a typed name. A longer text is a slip, such as a list in one line. Names from
# folders and files may be longer, since nobody types them.
LONGEST_NAME = 100


def known_class(names, text):
    """The class of a text that the page shows. `names` are `ClassNames`."""
    if not isinstance(text, str) or (name := names.current_name(text)) is None:
        raise Refused("There is no such class.")
    return name


def as_class(names, text, notes, current=False):
    """The class of `as_label`, which must not be none of the classes. With `current`, an earlier
    name of a class is refused.
    """
    label = as_label(names, text, notes)
    if not label:
        raise Refused(f"A class cannot be called “{text}”.")
    if current and names.current_name(text) is not None and comparable(text) != comparable(label):
        raise Refused(
            f"“{text.strip()}” still means “{plain(label)}”, which was called so before. Give"
            f" another name, or join “{plain(label)}”."
        )
    return label


def as_label(names, text, notes):
    """The class that a text names in any spelling, or a new class, or empty for "none of these".
    Messages for the person are added to `notes`.
    """
    if not isinstance(text, str):
        raise Refused("The name of a class is a text.")
    if not text or comparable(text) == NONE_OF_THESE:
        return ""
    if (name := names.current_name(text)) is None:
        if names.is_dropped(text):
            notes.append(f"“{text.strip()}” was dropped before, and is a class again.")
        return new_name(text)
    if text.strip() != plain(name).strip():
        notes.append(f"“{text.strip()}” is “{plain(name)}”.")
    return name


def new_name(text):
    """The name of a new class. A text that cannot be a name is refused."""
    if not text.strip() or len(text) > LONGEST_NAME or len(text.splitlines()) > 1:
        raise Refused(f"The name of a new class is one line of at most {LONGEST_NAME} letters.")
    if plain(text) != text or not comparable(text) or CONTROL.search(text.strip()):
        raise Refused("The name of a new class has letters, and no control characters.")
    return text.strip()
