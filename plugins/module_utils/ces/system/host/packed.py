# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive in which Ansible brings a module, kept in memory for a child that becomes a user.

The archive lies in a directory of root's own. A function that imports when it is called would find
nothing there in the child.
"""

from __future__ import annotations

import io
import sys
import zipfile
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader

from ...typed import Sequence


class Packed(InspectLoader, MetaPathFinder):
    """Finds and loads what is in the archive, and nothing else (see :mod:`importlib.abc`).

    :param path: of the archive, which is read now.
    :raises OSError: it cannot be read.
    """

    def __init__(self, path: str) -> None:
        with open(path, "rb") as stream:
            self._archive = zipfile.ZipFile(io.BytesIO(stream.read()))
        self._files = frozenset(self._archive.namelist())

    def load_before_others(self) -> None:
        """Have this process ask us first for each module that it imports."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: object = None
    ) -> ModuleSpec | None:
        """Where a module is; None where we have none of that name."""
        return spec_from_loader(fullname, self) if self._file(fullname) else None

    def is_package(self, fullname: str) -> bool:
        """Whether other modules are below it."""
        return self._file(fullname).endswith("/__init__.py")

    def get_source(self, fullname: str) -> str:
        """Its text."""
        return self._archive.read(self._file(fullname)).decode()

    def _file(self, name: str) -> str:
        """Its file in the archive, or ''."""
        at = name.replace(".", "/")
        places = (f"{at}/__init__.py", f"{at}.py")
        return next((place for place in places if place in self._files), "")
