"""Draw the bundled pictures, `sksemobridge/datasets/data/emoji.npz`.

    python tools/make_emoji.py NODE_MODULES

The style that `mini` has not seen (fluent-emoji-flat, MIT), one picture for each emoji without skin
tones, in the subgroups that have 20 or more.
"""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
from emoji_pictures import HELD_OUT_SET, SUBGROUP_NAMES, read_emoji_once

SIZE = 72


def main(node_modules):
    rows = read_emoji_once(node_modules, HELD_OUT_SET, size=SIZE)
    counts = Counter(row[4] for row in rows)
    rows = sorted(
        ((SUBGROUP_NAMES[row[4]], row[2], row[1]) for row in rows if counts[row[4]] >= 20),
        key=lambda row: row[:2],
    )
    target_names, target = np.unique([row[0] for row in rows], return_inverse=True)
    rgba = np.stack([row[2] for row in rows]).astype(np.float64)
    alpha = rgba[..., 3:] / 255
    images = np.round(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    folder = Path(__file__).parents[1] / "sksemobridge" / "datasets" / "data"
    folder.mkdir(exist_ok=True)
    np.savez_compressed(
        folder / "emoji.npz",
        images=images,
        target=target,
        target_names=target_names,
        names=np.array([row[1] for row in rows]),
    )
    print(images.shape, len(target_names), (folder / "emoji.npz").stat().st_size)


if __name__ == "__main__":
    main(sys.argv[1])
