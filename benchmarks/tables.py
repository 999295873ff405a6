"""Tables of results in Markdown."""


def table(header, rows, n_left=1):
    """A Markdown table of cells that are text, the first `n_left` columns to the left, the others to the right."""
    lines = [header, ["---"] * n_left + ["---:"] * (len(header) - n_left), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shots_in_words(k):
    return f"{k} shot" if k == 1 else f"{k} shots"
