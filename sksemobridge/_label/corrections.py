"""Labels by a person, which correct those of the folders: a list of the page, or a file of clicks."""

import os

from .._utils.validation import listed, warn_caller
from .clicks import Clicks
from .user_tables import UsageError, as_class, existing_file, naming, read_rows, with_formulas


def read_corrections(path, folders):
    """Real paths to `(path as in the table, label by a person)`. An empty label means none of the classes."""
    with naming("--corrections", ValueError):
        clicks = Clicks(path) if Clicks.is_one(path) else None
    if clicks is not None:
        return read_clicks(clicks, "--corrections", folders)
    corrections, lost, several = {}, [], []
    for number, (image, *rest) in enumerate(read_rows("--corrections", path)):
        label, *more = rest or [""]
        if any(cell.strip() for cell in more):
            raise UsageError(
                f"--corrections: {path!r} has a line of more than path and label, {[image, *rest]!r:.200}. Give the list "
                "that the page saves, or these two columns alone; a text with a separator stands in quotes"
            )
        if number == 0 and image.strip().lower() in ("path", "file") and label.strip().lower() == "label":
            continue
        image, label = map(with_formulas, (image, label))
        file = existing_file(image)
        if file is None:
            lost.append(image)
            continue
        real, correction = os.path.realpath(file), (file, as_class(label, folders))
        if corrections.setdefault(real, correction)[1] != correction[1]:
            several.append(file)
        corrections[real] = correction
    if lost and not corrections:
        raise UsageError(
            f"--corrections: {path!r} names no file that is there, only files such as {lost[0]!r}. Run the command in the "
            "folder where it ran before"
        )
    if lost:
        warn_caller(f"--corrections: Passed over, since there is no such file ({len(lost)}): {listed(lost)}.")
    if several:
        warn_caller(
            f"--corrections: {path!r} has several labels for a file ({len(several)}), such as {several[0]!r}. The last "
            "counts."
        )
    return corrections


def read_clicks(clicks, option, folders):
    """`read_corrections` for a file of clicks. Notes name pictures that changed since or are gone."""
    labels, changed, gone = clicks.labels(folders)
    for kind, found in (("changed since they were clicked", changed), ("not there any more", gone)):
        if found:
            warn_caller(f"{option}: Passed over, {kind} ({len(found)}): {listed(found)}.")
    return labels
