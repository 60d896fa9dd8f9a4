"""Financial PhraseBank (Malo et al. 2014, arXiv:1307.5336), from the user's own copy.

A copy is a `Sentences_*.txt` file, a folder or a zip that holds one at any depth. Where several
agreement levels are found, `Sentences_AllAgree.txt` is taken, the one of the reference experiment.
A row is `text@label`; the files are ISO-8859-1.
"""

import io
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from veiltune.data.examples import Dataset, Example
from veiltune.data.files import decode, read_bytes
from veiltune.data.splits import REFERENCE_SEED, split
from veiltune.errors import DataError

PHRASEBANK_LABELS = ("positive", "negative", "neutral")
PHRASEBANK_ENCODING = "iso-8859-1"
_PATTERN = "Sentences_*.txt"
_PREFERRED = "Sentences_AllAgree.txt"
# RuntimeError stands for a password, NotImplementedError for a compression Python cannot undo.
_UNPACKING_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


def phrasebank_dataset(
    path: Path,
    encoding: str = PHRASEBANK_ENCODING,
    seed: int = REFERENCE_SEED,
    train_fraction: float = 0.8,
    validation_fraction: float = 0.1,
) -> Dataset:
    """The corpus in the splits of the reference: 1811, 226 and 227 rows of AllAgree by default.

    Raises: DataError when no file is found, it is not text in this encoding, or a row has no text,
    no label or an unknown one.
    """
    content, name = _find(path)
    rows = tuple(_rows(decode(content, encoding, name), name))
    train, validation, test = split(rows, seed, train_fraction, validation_fraction)
    stem = PurePosixPath(name).stem
    return Dataset(f"phrasebank/{stem}", PHRASEBANK_LABELS, train, validation, test)


def _rows(text: str, name: str) -> Iterator[Example]:
    # Universal newlines and nothing more: str.splitlines would also cut at 0x85, a letter's byte.
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if not line.strip():
            continue
        sentence, at, label = (part.strip() for part in line.rpartition("@"))
        if not at or not label:
            raise DataError(
                f"{name}:{number}: expected text@label, got a row without a label; complete the row"
                " or remove it"
            )
        if label not in PHRASEBANK_LABELS:
            raise DataError(
                f"{name}:{number}: the label after the last @ must be"
                f" {' or '.join(PHRASEBANK_LABELS)}, got another; correct the row"
            )
        if not sentence:
            raise DataError(f"{name}:{number}: a row needs text before its label; remove the row")
        yield Example(sentence, label)


def _find(path: Path) -> tuple[bytes, str]:
    """The content of the corpus file, and its name for messages."""
    if os.path.isdir(path):  # unlike Path.is_dir, false where permission is missing
        inside = sorted(path.rglob(_PATTERN))
        chosen = _choose([file.relative_to(path).as_posix() for file in inside], path)
        return read_bytes(path / chosen), str(path / chosen)
    if path.suffix.lower() == ".zip":
        return _from_zip(read_bytes(path), path)
    return read_bytes(path), str(path)


def _from_zip(content: bytes, path: Path) -> tuple[bytes, str]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [n for n in archive.namelist() if fnmatchcase(PurePosixPath(n).name, _PATTERN)]
            chosen = _choose(names, path)
            unpacked = archive.read(chosen)
    except _UNPACKING_FAULTS as error:
        raise DataError(f"cannot unpack {path} ({error}); unpack it and give the folder") from None
    if not unpacked.strip():
        raise DataError(f"{chosen} in {path} is empty; give a file with rows")
    return unpacked, f"{path}/{chosen}"


def _choose(names: Sequence[str], place: Path) -> str:
    """The one file that is meant."""
    if not names:
        raise DataError(f"expected a file {_PATTERN} in {place}, found none; give the path of one")
    preferred = [name for name in names if PurePosixPath(name).name == _PREFERRED]
    for candidates in (preferred, names):
        if len(candidates) == 1:
            return candidates[0]
    raise DataError(
        f"{place} holds several corpus files ({', '.join(names)}); give the path of one of them"
    )
