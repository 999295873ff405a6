"""Tables and plots of `few_shot.py`, from its rows."""

import numpy as np
import pandas as pd
from few_shot_methods import NAMES, OURS, TRAINED, ZERO_SHOT
from scipy.stats import t as student
from tables import shots_in_words, table

CELL = ["model", "task", "shots"]  # what draws are paired within
TITLES = {"defaults": "Defaults", "tuned": "Tuned by cross-validation on the shots"}
MEASURES = {"accuracy": 1, "log_loss": 3}  # decimals
MEASURES_IN_WORDS = {"accuracy": "Accuracy in percent", "log_loss": "Log loss in nats"}
COMMAND = "python benchmarks/few_shot.py"


def write(results, folder):
    """Write `benchmarks_few_shot.md` and `images/few_shot_*.png` below a folder, and print the page.

    `results` is the path of the rows.
    """
    frame = read(results)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    plots = [plot_shots(frame, folder / "images"), plot_times(frame, folder / "images")]
    text = report(frame, plots)
    (folder / "benchmarks_few_shot.md").write_text(text, encoding="utf-8")
    print(text)


def read(results):
    """Rows of the methods that there are, accuracy in percent."""
    frame = pd.read_csv(results)
    return frame[frame.method.isin(NAMES)].assign(accuracy=lambda rows: 100 * rows.accuracy)


def report(frame, plots):
    """The whole page."""
    parts = [
        "# Few-shot benchmark: results",
        f"Written by `{COMMAND}`; benchmarks/README.md says how it was measured. Accuracies are in percent; "
        "intervals cover 95 %.",
        "## Tasks",
        tasks_table(frame),
        "## Summary",
        in_words(frame),
    ]
    for protocol, title in TITLES.items():
        of_protocol = frame[frame.protocol == protocol]
        if of_protocol.empty:
            continue
        parts += [
            f"## {title}",
            f"Mean accuracy over {full_tasks_in_words(of_protocol)}; in brackets the mean rank of the accuracy over all "
            "tasks and draws (1 is best).",
            means_table(of_protocol),
        ]
        parts += [
            versus_text(of_protocol, ours) for ours in (OURS, TRAINED) if ours in set(of_protocol.method)
        ]
    parts += [
        "## Probabilities and times",
        "With defaults, over all tasks and draws from two shots on: mean log loss in nats, mean expected calibration error "
        "(15 bins, each draw on its own), and median times to fit and to predict a thousand queries.",
        quality_table(frame[frame.protocol == "defaults"]),
        "## Plots",
        "\n\n".join(f"![{caption}](images/{name})" for name, caption in plots),
        "## Accuracy by task",
        "Mean over the draws ± its standard error.",
    ]
    for (protocol, model, task), group in frame.groupby(["protocol", "model", "task"], sort=False):
        parts += [f"### {task} ({model}), {protocol}", accuracy_table(group)]
    return "\n\n".join(parts) + "\n"


def comparison(results):
    """Markdown: all methods on the tasks of a folder, those with class texts and those without apart."""
    frame = read(results)
    with_text = frame.groupby("task").method.transform(lambda of_task: ZERO_SHOT in set(of_task))
    parts = []
    for title, group in (("Tasks with class texts", frame[with_text]), ("Tasks without", frame[~with_text])):
        if group.empty:
            continue
        ours = OURS if (group.method == OURS).any() else f"{OURS}, no text"
        parts += [f"## {title}", tasks_table(group)]
        for value, digits in MEASURES.items():
            parts += [
                f"### {MEASURES_IN_WORDS[value]}: mean over the tasks",
                *(means_by_shots(part, value, digits) for part in same_tasks(group)),
                f"### {MEASURES_IN_WORDS[value]}: {ours} minus each",
                "Mean paired difference over tasks and draws ± its standard error. In brackets: in how many tasks it is a win, "
                "and a loss. There the 95 % interval over the draws lies on one side of zero.",
                *(differences_by_shots(part, value, digits, ours) for part in same_tasks(group)),
            ]
        for task, of_task in group.groupby("task", sort=False):
            parts += [f"### {task}: accuracy ± standard error", accuracy_table(of_task)]
    return "\n\n".join(parts)


def same_tasks(frame):
    """Rows of all tasks, with the numbers of shots that each of them has; and those of the tasks that have them all."""
    shots = frame.groupby("task").shots.unique()
    common = set.intersection(*map(set, shots))
    parts = [frame[frame.shots.isin(common)]] if common else []
    if len(common) < frame.shots.nunique():
        parts.append(frame[frame.task.isin(shots.index[shots.map(len) == frame.shots.nunique()])])
    return [part for part in parts if len(part)]


def means_by_shots(frame, value, digits):
    """Means over the tasks, each the mean of its draws, with the standard errors of the draws."""
    of_tasks = frame.groupby(["method", "shots", "task"])[value].agg(["mean", "sem"])
    shots = sorted(frame.shots.unique())

    def cell(name, k):
        if (name, k) not in of_tasks.index:
            return "-"
        group = of_tasks.loc[(name, k)]
        error = np.sqrt(np.square(group["sem"]).sum()) / len(group)
        mean = _or_dash(group["mean"].mean(), f".{digits}f")
        return mean if mean == "-" else f"{mean} ± {error:.{digits}f}"

    rows = [[name, *(cell(name, k) for k in shots)] for name in in_order(frame.method)]
    return table(["method", *map(shots_in_words, shots)], rows)


def _or_dash(value, form):
    return f"{value:{form}}" if np.isfinite(value) else "-"


def differences_by_shots(frame, value, digits, ours):
    """Differences of one method to each other: mean, standard error, wins and losses for every number of shots."""
    cells = paired(frame, ours, value)
    shots = sorted(frame.shots.unique())
    rows = []
    for name in in_order(cells.method):
        row = [name]
        for k in shots:
            group = cells[(cells.method == name) & (cells.shots == k)]
            mean, error = group["mean"].mean(), np.sqrt((group.error**2).sum()) / max(len(group), 1)
            above, below = (found.sum() for found in verdicts(group))
            wins, losses = (above, below) if value == "accuracy" else (below, above)
            cell = _or_dash(mean if len(group) else np.nan, f"+.{digits}f")
            row.append(cell if cell == "-" else f"{cell} ± {error:.{digits}f} ({wins}:{losses})")
        rows.append(row)
    return table([f"{ours} minus", *map(shots_in_words, shots)], rows)


def in_order(methods):
    return [name for name in NAMES if name in set(methods)]


def tasks_table(frame):
    rows = []
    for (model, task), group in frame.groupby(["model", "task"], sort=False):
        zero = group[group.method == ZERO_SHOT].accuracy
        fewest = int(group.queries.min())
        shots = ", ".join(str(k) for k in sorted(group.shots.unique()))
        zero = f"{zero.mean():.1f}" if len(zero) else "-"
        draws = group.seed.nunique()
        rows.append([task, model, str(group.classes.iloc[0]), shots, f"{fewest:,}", str(draws), zero])
    return table(["task", "model", "classes", "shots", "queries at least", "draws", "zero-shot"], rows)


def full_tasks(frame):
    """Rows of the tasks that have every number of shots, so that means can be compared along shots."""
    counts = frame.groupby(["model", "task"]).shots.transform("nunique")
    return frame[counts == counts.max()]


def full_tasks_in_words(frame):
    return ", ".join(full_tasks(frame).task.unique())


def means_table(frame):
    shots = sorted(frame.shots.unique())
    means = full_tasks(frame).pivot_table(index="method", columns="shots", values="accuracy")
    draws = frame.pivot_table(index=[*CELL, "seed"], columns="method", values="accuracy")
    ranks = draws.rank(axis=1, ascending=False).groupby("shots").mean()
    rows = []
    for name in in_order(means.index):
        accuracies = [means.loc[name].get(k, np.nan) for k in shots]
        of_ranks = [ranks.at[k, name] for k in shots]
        cells = [f"{a:.1f} ({r:.1f})" if np.isfinite(a) else "-" for a, r in zip(accuracies, of_ranks)]
        rows.append([name, *cells, f"{np.nanmean(of_ranks):.1f}"])
    return table(["method", *[f"{shots_in_words(k)} (rank)" for k in shots], "mean rank"], rows)


def paired(frame, ours, value="accuracy"):
    """For every other method and cell: mean difference of `ours` to it over the draws, and its half-width."""
    draws = frame.pivot_table(index=[*CELL, "seed"], columns="method", values=value)
    gains = -draws.drop(columns=ours).sub(draws[ours], axis=0)
    long = gains.stack().rename("gain").reset_index()
    cells = long.groupby(["method", *CELL], sort=False).gain.agg(["mean", "std", "count"]).reset_index()
    error = cells["std"] / np.sqrt(cells["count"])
    cells["half"] = error * student.ppf(0.975, np.maximum(cells["count"] - 1, 1))
    cells["error"] = error
    return cells


def verdicts(cells):
    """Wins, losses: cells whose interval is on one side of zero. An interval needs two draws."""
    return cells["mean"] > cells.half, cells["mean"] < -cells.half


def versus_text(frame, ours):
    cells = paired(frame, ours)
    rows = []
    for name in in_order(cells.method):
        group = cells[cells.method == name]
        wins, losses = verdicts(group)
        half = 1.96 * np.sqrt((group.error**2).sum()) / len(group)
        counts = [str(wins.sum()), str(len(group) - wins.sum() - losses.sum()), str(losses.sum())]
        rows.append([name, f"{group['mean'].mean():+.2f} ± {half:.2f}", *counts])
    return "\n\n".join(
        [
            f"### {ours} against each",
            "Mean difference in points over all tasks and shots, paired over the same draws. A cell is a task at a number "
            "of shots: it is a win where the interval of the difference lies above zero, a loss where it lies below, and "
            "open otherwise.",
            table(["against", f"{ours} ahead by", "wins", "open", "losses"], rows),
        ]
    )


def in_words(frame):
    """Wins and losses of our methods against the others, as a Markdown list."""
    lines = []
    for protocol in TITLES:
        of_protocol = frame[frame.protocol == protocol]
        for ours in (OURS, TRAINED):
            if ours not in set(of_protocol.method):
                continue
            cells = paired(of_protocol, ours)
            cells = cells[~cells.method.str.startswith(OURS)]
            wins, losses = verdicts(cells)
            lines.append(
                f"- {ours}, {protocol}: of {len(cells)} comparisons (another method, a task and a number of shots) "
                f"it wins {wins.sum()}, loses {losses.sum()}, and {len(cells) - wins.sum() - losses.sum()} are open."
            )
            lost = cells[losses]
            for name in in_order(lost.method):
                to_one = lost[lost.method == name]
                lines.append(
                    f"  - It loses to {name} by {-to_one['mean'].mean():.1f} points on average over {where(to_one)}."
                )
    return "\n".join(lines)


def where(lost):
    """Tasks and shots of cells in words."""
    groups = lost.sort_values("shots").groupby("task", sort=False).shots
    return "; ".join(
        f"{task} at {', '.join(map(str, shots))} shot{'s' if list(shots) != [1] else ''}"
        for task, shots in groups
    )


def quality_table(frame):
    """Means where every method has rows: from two shots on."""
    frame = frame[frame.shots >= min(2, frame.shots.max())]
    predict = frame.predict_seconds / frame.queries * 1000
    rows = []
    for name in in_order(frame.method):
        chosen = frame.method == name
        loss, error = frame.log_loss[chosen].mean(), frame.calibration_error[chosen].mean()
        quality = [f"{loss:.2f}", f"{error:.3f}"] if np.isfinite(loss) else ["-", "-"]
        times = frame.fit_seconds[chosen].median(), predict[chosen].median()
        rows.append([name, *quality, *(f"{1000 * seconds:.1f}" for seconds in times)])
    return table(["method", "log loss", "calibration error", "fit, ms", "predict 1,000, ms"], rows)


def accuracy_table(frame):
    stats = frame.groupby(["method", "shots"]).accuracy.agg(["mean", "sem"])
    shots = sorted(frame.shots.unique())
    rows = []
    for name in in_order(frame.method):
        cells = []
        for k in shots:
            if (name, k) not in stats.index:
                cells.append("-")
                continue
            mean, error = stats.loc[(name, k)]
            cells.append(f"{mean:.1f} ± {error:.1f}" if np.isfinite(error) else f"{mean:.1f}")
        rows.append([name, *cells])
    return table(["method", *map(shots_in_words, shots)], rows)


# What stands out; all others are grey.
HIGHLIGHTED = {
    OURS: "#d62728",
    f"{OURS}, no text": "#f08a8a",
    ZERO_SHOT: "black",
    "Tip-Adapter": "#1f77b4",
    "LogisticRegression": "#2ca02c",
}
OTHERS = "other methods"
MARKERS = dict(zip(NAMES, "osx^v<>hH8|osDPXd*p"))


def style(name):
    """Line and marker of a method: few stand out, those without text are dashed."""
    stands_out = name in HIGHLIGHTED
    dashed = "no text" in name or name in NAMES[NAMES.index("LogisticRegression") :]
    return {
        "color": HIGHLIGHTED.get(name, "#b0b0b0"),
        "marker": MARKERS[name],
        "linestyle": "--" if dashed else "-",
        "linewidth": 2.2 if stands_out else 0.8,
        "markersize": 6 if stands_out else 3,
        "zorder": 3 if stands_out else 2,
    }


def plot_shots(frame, folder):
    """Accuracy against shots, a panel for each task and protocol; `(name of the file, caption)`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    protocols = [protocol for protocol in TITLES if (frame.protocol == protocol).any()]
    tasks = list(frame.groupby(["model", "task"], sort=False).groups)
    figure, axes = plt.subplots(
        len(protocols),
        len(tasks),
        figsize=(3.4 * len(tasks), 3.3 * len(protocols)),
        squeeze=False,
    )
    handles = {}
    for row, protocol in enumerate(protocols):
        for column, (model, task) in enumerate(tasks):
            ax = axes[row, column]
            panel = frame[(frame.protocol == protocol) & (frame.model == model) & (frame.task == task)]
            for name in in_order(panel.method):
                means = panel[panel.method == name].groupby("shots").accuracy.mean()
                entry = name if name in HIGHLIGHTED else OTHERS
                (handles[entry],) = ax.plot(means.index, means.values, **style(name))
            ax.set_xscale("log", base=2)
            ax.set_xticks(sorted(panel.shots.unique()), sorted(panel.shots.unique()))
            ax.minorticks_off()
            ax.grid(alpha=0.3)
            ax.set_title(f"{task}, {protocol}", fontsize=10)
            if row == len(protocols) - 1:
                ax.set_xlabel("shots a class")
        axes[row, 0].set_ylabel("accuracy in percent")
    finish(figure, handles)
    figure.savefig(folder / "few_shot_accuracy.png", dpi=110)
    plt.close(figure)
    return (
        "few_shot_accuracy.png",
        "Accuracy against shots, by task and protocol; the tables name all methods",
    )


def plot_times(frame, folder):
    """Accuracy against the time to fit, one point for each method and protocol."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    full = full_tasks(frame)
    shots = sorted(full.shots.unique())
    shown = [shots[len(shots) // 2], shots[-1]] if len(shots) > 1 else shots
    figure, axes = plt.subplots(1, len(shown), figsize=(5.2 * len(shown), 4.2), squeeze=False)
    handles = {}
    for ax, k in zip(axes[0], shown):
        at_k = full[full.shots == k]
        for name in in_order(at_k.method):
            of_method = at_k[at_k.method == name]
            for protocol, filled in (("defaults", True), ("tuned", False)):
                group = of_method[of_method.protocol == protocol]
                if group.empty:
                    continue
                look = style(name) | {"linestyle": "none", "markersize": 8}
                if not filled and look["marker"] not in "xP|":
                    look["markerfacecolor"] = "white"
                seconds = group.groupby(["model", "task"]).fit_seconds.median().mean()
                (handle,) = ax.plot(seconds, group.accuracy.mean(), **look)
                if filled:
                    handles[name] = handle
        ax.set_xscale("log")
        ax.grid(alpha=0.3)
        ax.set_xlabel("seconds to fit")
        ax.set_title(f"{k} shots a class, mean of {full_tasks_in_words(at_k)}", fontsize=10)
    axes[0, 0].set_ylabel("accuracy in percent")
    finish(figure, handles)
    figure.savefig(folder / "few_shot_time.png", dpi=110)
    plt.close(figure)
    return (
        "few_shot_time.png",
        "Accuracy against the time to fit; hollow points are tuned, the search included",
    )


def finish(figure, handles):
    """One legend below all panels."""
    rows = -(-len(handles) // 6)
    height = figure.get_size_inches()[1]
    figure.tight_layout(rect=(0, (0.15 + 0.22 * rows) / height, 1, 1))
    order = [*in_order(handles), *({OTHERS} & set(handles))]
    figure.legend(
        [handles[name] for name in order], order, ncols=6, loc="lower center", fontsize=9, frameon=False
    )
