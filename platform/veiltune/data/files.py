"""Reads a text file whole and refuses what is not the text it should be.

No message quotes the content: it may be private, and messages end up in logs.
"""

import codecs
from pathlib import Path

from veiltune.errors import DataError

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "UTF-8",
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read_bytes(path: Path) -> bytes:
    """What the file holds. Raises: DataError when it is missing, a folder, unreadable or empty."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"there is no data file {path}; check data.path") from None
    except IsADirectoryError:
        raise DataError(
            f"{path} is a folder where a file was expected; name a file in it"
        ) from None
    except OSError as error:
        raise DataError(
            f"cannot read the data file {path} ({error.strerror}); check its permissions"
        ) from error
    if not content.strip():
        raise DataError(f"the data file {path} is empty; give a file with rows")
    return content


def decode(content: bytes, encoding: str, name: str) -> str:
    """The text of `content`, without a byte order mark; `name` is what messages call the file.

    Single-byte encodings accept any bytes, so UTF-8 and UTF-16 text under such a name would come
    out garbled in silence; both are recognised and refused.

    Raises: DataError when the content is not text in this encoding.
    """
    declared = codecs.lookup(encoding).name
    found = _encoding_found(content, declared)
    if found is not None:
        raise DataError(
            f"{name} should be {encoding} text but is {found}; set data.encoding to"
            f" {found.lower()}, or convert the file to {encoding}"
        )
    try:
        text = content.decode("utf-8-sig" if declared == "utf-8" else declared)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name}:{line}: expected {encoding} text, got bytes that are not ({error.reason});"
            " set data.encoding to the file's encoding, or convert the file"
        ) from None
    if "\0" in text:
        raise DataError(
            f"{name} should be {encoding} text but holds NUL characters, as UTF-16 text or a binary"
            " file does; set data.encoding or convert the file"
        )
    return text


def _encoding_found(content: bytes, declared: str) -> str | None:
    """The name of another encoding that the content betrays, if it does."""
    for mark, name in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return None if declared.startswith(name.lower()) else name
    if declared.startswith(("iso8859", "cp125")) and not content.isascii():
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            return None
        return "UTF-8"
    return None
