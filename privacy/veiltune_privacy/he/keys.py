"""The key that all sites of a job hold, the public part that the server holds, and their files.

A secret key file belongs to one user and nobody else may read it. Both files are JSON: what they
are, the parameters, the modulus and the fingerprint; the secret one has
the key besides.
"""

import base64
import hashlib
import json
import os
import re
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from veiltune.errors import UserError
from veiltune_privacy.he.ckks import coefficient_modulus, new_secret_key
from veiltune_privacy.he.packing import Packing
from veiltune_privacy.he.parameters import CipherParameters

SECRET_KIND = "veiltune secret key 1"
PUBLIC_KIND = "veiltune public part 1"


class KeyFileError(UserError):
    """A key file is missing, readable by others, damaged, or for other parameters."""


@dataclass(frozen=True)
class PublicPart:
    """What a server has: enough to add ciphertexts, nothing to read them with."""

    parameters: CipherParameters
    modulus: int
    """q, below which all coefficients are."""
    fingerprint: str
    """Names the secret key without saying anything about it."""


@dataclass(frozen=True)
class SecretKey:
    """The symmetric key of all sites: whoever has it can read every site's updates."""

    parameters: CipherParameters
    modulus: int
    key: bytes = field(repr=False)
    """As SEAL saves it."""

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits of the SHA-256 of a tag, the parameters and the key."""
        digest = hashlib.sha256(b"veiltune key fingerprint\0")
        digest.update(self.parameters.describe().encode() + b"\0")
        digest.update(self.key)
        return digest.hexdigest()[:32]

    def public(self) -> PublicPart:
        """The part without the key."""
        return PublicPart(self.parameters, self.modulus, self.fingerprint)


def generate_key(parameters: CipherParameters) -> SecretKey:
    """A fresh key, from the operating system's randomness.

    Raises:
        SpecificationError: the parameters are not 128-bit secure or too small for their sums.
    """
    modulus = coefficient_modulus(parameters)
    return SecretKey(parameters, modulus, new_secret_key(parameters))


def write_secret_key(path: Path, key: SecretKey) -> None:
    """The key is in a new file that its owner alone may read and write.

    Raises:
        KeyFileError: there is a file already, or none can be made.
    """
    content = _fields(SECRET_KIND, key.public())
    content["key"] = base64.b64encode(key.key).decode("ascii")
    _write_new(path, content, mode=0o600)


def read_secret_key(path: Path, parameters: CipherParameters) -> SecretKey:
    """The key in a file that `write_secret_key` wrote.

    Raises:
        KeyFileError: the file is missing, cannot be read by its owner or can be by others, is
            damaged, or was made for other parameters.
    """
    content = _read(path, private=True)
    encoded = content.pop("key", None)
    part = _part(path, SECRET_KIND, content)
    if part.parameters != parameters:
        raise KeyFileError(
            f"{path} is for {part.parameters.describe()}, but this job needs "
            f"{parameters.describe()}; use the key that was made for this job"
        )
    try:
        key = base64.b64decode(str(encoded), validate=True)
    except ValueError as error:
        raise _damaged(path, SECRET_KIND) from error
    secret = SecretKey(parameters, part.modulus, key)
    if secret.fingerprint != part.fingerprint:
        raise _damaged(path, SECRET_KIND)
    return secret


def write_public_part(path: Path, part: PublicPart) -> None:
    """The part is in a new file that anybody may read.

    Raises:
        KeyFileError: there is a file already, or none can be made.
    """
    _write_new(path, _fields(PUBLIC_KIND, part), mode=0o644)


def read_public_part(path: Path) -> PublicPart:
    """The part in a file that `write_public_part` wrote.

    Raises:
        KeyFileError: the file is missing or damaged.
    """
    return _part(path, PUBLIC_KIND, _read(path, private=False))


def _fields(kind: str, part: PublicPart) -> dict[str, object]:
    return {"kind": kind, **asdict(part)}


def _part(path: Path, kind: str, content: dict[str, Any]) -> PublicPart:
    """The public part of a file's fields; its modulus is the one that its parameters have."""
    try:
        fields = content["parameters"]
        parameters = CipherParameters(**{**fields, "packing": Packing(**fields["packing"])})
        part = PublicPart(parameters, coefficient_modulus(parameters), str(content["fingerprint"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, kind) from error
    if content != _fields(kind, part) or not re.fullmatch("[0-9a-f]{32}", part.fingerprint):
        raise _damaged(path, kind)
    return part


def _write_new(path: Path, content: dict[str, object], mode: int) -> None:
    """A file that was not there holds `content`; nothing is left of it after an error."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise KeyFileError(
            f"{path} is there already and is not written over; give another path or move it away"
        ) from error
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(json.dumps(content, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink()
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from error


def _read(path: Path, private: bool) -> dict[str, Any]:
    """The fields of a key file, after its permissions were checked on the open file."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if not mode & stat.S_IRUSR:
                raise PermissionError
            if private and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise KeyFileError(
                    f"{path} has permissions {mode:o}, so others may read or change the secret "
                    f"key; run chmod 600 {path}"
                )
            content = json.loads(file.read())
    except FileNotFoundError as error:
        raise KeyFileError(f"{path} is missing; make a key or copy the job's key there") from error
    except PermissionError as error:
        raise KeyFileError(
            f"{path} may not be read by the user who runs this; run chmod 600 {path} as its owner"
        ) from error
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _damaged(path, "veiltune key file") from error
    if not isinstance(content, dict):
        raise _damaged(path, "veiltune key file")
    return content


def _damaged(path: Path, kind: str) -> KeyFileError:
    return KeyFileError(f"{path} is not an intact {kind}; copy it again from where it was made")
