"""Labelling of a folder: the images to label next, names for images, images of none of the classes,
and the whole job with its page.

`_photos/` is the job of a folder. Users run `command` or call `label_folder`, with `options`.
`read_folder` makes a `folder_job` of the options. The job learns and gives `folder_labels`, and
`write_files` writes these labels. `_live/` serves the page in which persons label.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
