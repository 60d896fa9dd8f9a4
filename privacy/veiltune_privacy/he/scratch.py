"""Memory through which SEAL's objects pass, since TenSEAL's binding saves to and loads from paths.

On Linux it is an anonymous file in memory (`memfd_create`): it has no name in any folder and is
gone when the process ends, however it ends. Elsewhere it is a file in a private folder, removed
when the block is left, by an error too, and at the latest when Python exits.
"""

import os
import tempfile
from contextlib import ExitStack
from types import TracebackType
from typing import Self


class Scratch:
    """A path that SEAL can use inside a `with` block, and what lies there as bytes.

    Each block has its own, so neither threads nor forked processes write over one another.

    *Guarantee*: on Linux, a secret key that passes through it reaches no disk, unless memory is
    swapped to one. Everywhere it can be read by this user's processes only, and not once the block
    is left.
    """

    path: str

    def __enter__(self) -> Self:
        """An empty scratch file is open."""
        with ExitStack() as opening:
            if hasattr(os, "memfd_create"):
                self._descriptor = os.memfd_create("veiltune")
                opening.callback(os.close, self._descriptor)
                self.path = f"/proc/self/fd/{self._descriptor}"
            else:
                folder = opening.enter_context(tempfile.TemporaryDirectory(prefix="veiltune-"))
                self.path = os.path.join(folder, "object.seal")
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
                opening.callback(os.close, self._descriptor)
            self._closing = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """The file is empty and gone."""
        os.ftruncate(self._descriptor, 0)
        self._closing.close()

    def write(self, content: bytes) -> None:
        """SEAL loads `content` from `path`."""
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))

    def read(self) -> bytes:
        """What SEAL saved to `path`."""
        return os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
