"""Axes for displays of several panels."""


def divide_axes(ax, n_rows, n_columns, figsize, **layout):
    """Put a grid of axes into the place of one, which stays as their frame.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
        `None` makes a figure of `figsize` inches.
    n_rows, n_columns : int
    figsize : tuple of float
    **layout
        Options of `SubplotSpec.subgridspec`.

    Returns
    -------
    ax : matplotlib.axes.Axes
    axes : ndarray of matplotlib.axes.Axes of shape (n_rows, n_columns)

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If `ax` is no Axes.
    ValueError
        If `ax` does not lie in a grid.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Displays need matplotlib, which is not installed: pip install matplotlib."
        ) from error

    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    if not hasattr(ax, "get_subplotspec"):
        raise TypeError(f"ax must be one Axes of matplotlib; got {type(ax).__name__}.")
    place = ax.get_subplotspec()
    if place is None:
        raise ValueError(
            "ax must lie in a grid, so that it can be divided: take one that plt.subplots makes."
        )
    ax.set_axis_off()
    return ax, place.subgridspec(n_rows, n_columns, **layout).subplots(squeeze=False)
