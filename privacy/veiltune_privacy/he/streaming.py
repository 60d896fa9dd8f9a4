"""Work cut into chunks, done here or in processes of its own, a few chunks at a time.

TenSEAL holds Python's lock while it computes, so threads cannot share its work; processes can. A
worker process imports neither torch nor NVFlare, and is given one chunk at a time, so its memory
does not grow with the update.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from joblib.externals.loky import ProcessPoolExecutor

Result = TypeVar("Result")
Chunk = tuple[Any, ...]

AHEAD = 2
"""Chunks that wait for each worker."""

_subject: Any = None
"""What a worker process works with, such as a decryption context."""


def over_chunks(
    make: Callable[..., Any],
    arguments: Chunk,
    work: Callable[..., Result],
    chunks: Iterable[Chunk],
    processes: int,
) -> Iterator[Result]:
    """Yields `work(subject, *chunk)` for every chunk, in the order of the chunks.

    Args:
        make, arguments: `make(*arguments)` is the subject: one here, or one in each worker. All are
            pickled for the workers, so functions are those of a module.
        processes: Worker processes; with one the work is done here.
    """
    if processes == 1:
        subject = make(*arguments)
        for chunk in chunks:
            yield work(subject, *chunk)
        return
    with ProcessPoolExecutor(processes, initializer=_begin, initargs=(make, arguments)) as pool:
        waiting: deque[Any] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(_call, work, chunk))
            if len(waiting) > AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _begin(make: Callable[..., Any], arguments: Chunk) -> None:
    global _subject
    _subject = make(*arguments)


def _call(work: Callable[..., Result], chunk: Chunk) -> Result:
    return work(_subject, *chunk)
