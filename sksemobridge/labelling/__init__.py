"""All that serves a folder which is being labelled: what to label next, names for what images show,
images of none of the classes, and the whole job with its page.

`_photos/` is the job of a folder: `command` is what users run and `label_folder` what they call,
`options` is what they ask, `read_folder` makes a `folder_job` of it, which learns and gives
`folder_labels`, and `write_files` writes these. `_live/` serves the page in which persons label.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
