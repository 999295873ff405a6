"""Labelling of a folder: the images to label next, names for images, images of none of the classes,
and the whole job with its page.

The modules here are the algorithms. The packages are the application, and each uses only those
before it: `_answers` (what persons said), `_photos` (the folder, its job and its labels), `_live`
(the page in which persons label), and `_command` (the command, `label_folder`, and the options of
both). `_web` has what the pages share, and `_messages` says how the application speaks.

`_command.read_folder` makes a `_photos.folder_job` of the options. The job learns and gives
`_photos.folder_labels`, and `_command.write_files` writes these labels.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
