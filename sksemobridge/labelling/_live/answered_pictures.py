"""The pictures that a person answered, and the other pictures of their bursts, as events keep
them.
"""

from contextlib import suppress

from ...encoders import ImageReadError

# Number of probabilities that an event keeps, so that its line stays short with many classes: an
# assumption. In the estimate, the other columns share the rest.
N_LISTED = 5


def answered_pictures(snapshot, files, marks, notes, alone=False):
    """Pictures of an event. `marks` have number, label and shown label of each answered picture.
    Unless `alone`, the other pictures of their bursts follow. Messages for the person are added to
    `notes`.
    """
    answered, missing = [], 0
    # Two pictures of the page may be of one burst, after an answer was undone.
    named = {number for number, _, _ in marks}
    for number, label, shown in marks:
        answered.append(_answered(snapshot, files, number, label, shown))
        others = [i for i in snapshot.bursts.of(number)[1:] if not (alone or i in named)]
        named.update(others)
        read = [*readable(files, others, label=label, shown=shown, taught=True, by_burst=True)]
        answered += read
        missing += len(others) - len(read)
    if missing:
        notes.append(f"{missing} of a burst could not be read and got no label.")
    return tuple(answered)


def _answered(snapshot, files, number, label, shown):
    if number in snapshot.unread:
        raise ImageReadError(snapshot.unread[number])
    if number < snapshot.pictures.n_photos:
        likely = snapshot.view.likely(number, N_LISTED, label)
        n_columns = len(snapshot.view.columns) + 1
    else:  # a shot has taught already
        likely, n_columns = [], 0
    return files.event(
        number,
        label=label,
        shown=shown,
        taught=True,
        likely=tuple((name, round(share, 6)) for name, share in likely),
        n_columns=n_columns,
    )


def readable(files, numbers, **fields):
    """Pictures of an event that a person did not see. Pictures that cannot be read are left out."""
    for number in numbers:
        with suppress(ImageReadError):
            yield files.event(number, is_shown=False, **fields)
