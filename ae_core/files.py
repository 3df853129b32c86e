"""What pyarrow's engine may open of a scan: the lake's own files, through the lake's own store, and nothing else."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from ae_core.errors import UsageError


class NoFiles(pafs.FileSystemHandler):
    """The pieces of an archive are no files: pyarrow's own engine cannot open them."""

    def get_type_name(self) -> str:
        """What pyarrow calls it."""
        return "latentlake"

    def normalize_path(self, path: str) -> str:
        """Paths are names, taken as they are."""
        return path

    def _refuse(self, *_: object, **__: object) -> Any:
        raise UsageError("joins, sorts and unions need the rows in memory: call to_table() first")

    get_file_info = get_file_info_selector = create_dir = delete_dir = delete_dir_contents = _refuse
    delete_root_dir_contents = delete_file = move = copy_file = _refuse
    open_input_stream = open_output_stream = open_append_stream = _refuse

    def open_input_file(self, path: str) -> Any:
        """Not there."""
        return self._refuse(path)


class LakeFiles(NoFiles):
    """Files of a lake for reading, through whatever opened the lake: a filesystem of fsspec, or an object store."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def open_input_file(self, path: str) -> Any:
        """The file, open for reading anywhere in it."""
        return pa.PythonFile(self._store.open(path, "rb"), mode="r")
