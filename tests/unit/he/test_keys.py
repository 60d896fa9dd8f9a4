"""Key files come back as they went, nobody else can read them, and a wrong one is refused."""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from veiltune.errors import SpecificationError, UserError
from veiltune_privacy.he.ckks import coefficient_modulus
from veiltune_privacy.he.keys import (
    KeyFileError,
    SecretKey,
    generate_key,
    read_public_part,
    read_secret_key,
    write_public_part,
    write_secret_key,
)
from veiltune_privacy.he.packing import Packing
from veiltune_privacy.he.parameters import CipherParameters

PARAMETERS = CipherParameters(
    scheme="ckks",
    degree=2048,
    modulus_bits=54,
    plain_bits=None,
    packing=Packing(levels=127, max_sites=3, digits_per_slot=2),
    digits=5000,
)
KEY = SecretKey(PARAMETERS, coefficient_modulus(PARAMETERS), b"what SEAL saved")


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Files are made for everybody unless their maker says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


def change(path: Path, alter: Callable[[dict[str, object]], object]) -> None:
    content = json.loads(path.read_text())
    alter(content)
    path.write_text(json.dumps(content))


def refusal(path: Path, parameters: CipherParameters = PARAMETERS) -> str:
    """The one line in which reading the secret key is refused."""
    with pytest.raises(KeyFileError) as caught:
        read_secret_key(path, parameters)
    assert isinstance(caught.value, UserError) and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_secret_key_comes_back_as_it_went(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    write_secret_key(path, KEY)
    assert read_secret_key(path, PARAMETERS) == KEY


def test_a_public_part_comes_back_as_it_went_and_lacks_the_key(tmp_path: Path) -> None:
    path = tmp_path / "public.json"
    write_public_part(path, KEY.public())
    assert read_public_part(path) == KEY.public()
    assert set(json.loads(path.read_text())) == {"kind", "parameters", "modulus", "fingerprint"}


def test_a_generated_key_is_fresh_and_belongs_to_its_parameters() -> None:
    first, second = generate_key(PARAMETERS), generate_key(PARAMETERS)
    assert first.parameters == PARAMETERS
    assert first.modulus == second.modulus and first.modulus.bit_length() == 54
    assert first.key != second.key and first.fingerprint != second.fingerprint


def test_a_key_of_insecure_parameters_is_not_made() -> None:
    with pytest.raises(SpecificationError, match="SEAL refuses"):
        generate_key(replace(PARAMETERS, modulus_bits=55))


@pytest.mark.usefixtures("open_umask")
def test_a_secret_key_is_never_readable_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither at the end nor while it is written, whatever the umask."""
    modes: list[int] = []
    sync = os.fsync

    def record(descriptor: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        sync(descriptor)

    made: list[int] = []
    create = os.open

    def record_creation(path: Path, flags: int, mode: int = 0o777) -> int:
        made.append(mode)
        return create(path, flags, mode)

    monkeypatch.setattr(os, "fsync", record)
    monkeypatch.setattr(os, "open", record_creation)
    path = tmp_path / "secret.key"
    write_secret_key(path, KEY)
    assert made == [0o600] and modes == [0o600]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610, 0o601, 0o602])
def test_a_secret_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret.key"
    write_secret_key(path, KEY)
    path.chmod(mode)
    said = refusal(path)
    assert f"permissions {mode:o}" in said and f"run chmod 600 {path}" in said
    path.chmod(0o600)
    assert read_secret_key(path, PARAMETERS) == KEY


def test_a_secret_key_that_its_owner_may_not_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    write_secret_key(path, KEY)
    path.chmod(0o200)
    assert f"run chmod 600 {path}" in refusal(path)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("something else")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    for place in (path, link):
        with pytest.raises(KeyFileError, match="is there already and is not written over"):
            write_secret_key(place, KEY)
        with pytest.raises(KeyFileError, match="is there already and is not written over"):
            write_public_part(place, KEY.public())
    assert path.read_text() == "something else"
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "secret.key"
    with pytest.raises(KeyFileError, match="missing/secret.key cannot be written"):
        write_secret_key(path, KEY)


def test_nothing_is_left_of_a_key_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyFileError, match="No space left on device"):
        write_secret_key(tmp_path / "secret.key", KEY)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path / 'secret.key'} is missing" in refusal(tmp_path / "secret.key")
    with pytest.raises(KeyFileError, match=r"public.json is missing"):
        read_public_part(tmp_path / "public.json")


def test_a_folder_is_no_key(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path)


def test_a_key_for_other_parameters_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    write_secret_key(path, KEY)
    other = replace(PARAMETERS, digits=5001)
    said = refusal(path, other)
    assert PARAMETERS.describe() in said and other.describe() in said


@pytest.mark.parametrize("field", ["kind", "parameters", "modulus", "fingerprint", "key"])
def test_a_damaged_field_is_noticed(tmp_path: Path, field: str) -> None:
    path = tmp_path / "secret.key"
    write_secret_key(path, KEY)
    change(path, lambda content: content.pop(field))
    assert "is not an intact veiltune secret key" in refusal(path)
    for wrong in (None, 17, "", "?", [], {}, "d2hhdCBTRUFMIHNhdmVE"):
        change(path, lambda content, wrong=wrong: content.update({field: wrong}))
        assert "is not an intact veiltune secret key" in refusal(path)


@pytest.mark.parametrize("field", ["kind", "parameters", "modulus", "fingerprint"])
def test_a_damaged_field_of_a_public_part_is_noticed(tmp_path: Path, field: str) -> None:
    path = tmp_path / "public.json"
    write_public_part(path, KEY.public())
    for wrong in (None, 17, "", "?", [], {}):
        change(path, lambda content, wrong=wrong: content.update({field: wrong}))
        with pytest.raises(KeyFileError, match="is not an intact veiltune public part"):
            read_public_part(path)


def test_a_public_part_with_a_key_in_it_is_refused(tmp_path: Path) -> None:
    """Somebody renamed a secret key and changed what it says it is."""
    path = tmp_path / "public.json"
    write_public_part(path, KEY.public())
    change(path, lambda content: content.update(key="c2VjcmV0"))
    with pytest.raises(KeyFileError, match="is not an intact veiltune public part"):
        read_public_part(path)


def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    write_secret_key(path, KEY)
    whole = path.read_bytes().rstrip()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert "is not an intact" in refusal(path)


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    write_secret_key(path, KEY)
    for content in (b"[]", b"\xff\xfe", b"1", b"null"):
        path.write_bytes(content)
        assert "is not an intact" in refusal(path)


def test_a_secret_key_is_no_public_part_and_the_other_way_round(tmp_path: Path) -> None:
    secret, public = tmp_path / "secret.key", tmp_path / "public.json"
    write_secret_key(secret, KEY)
    write_public_part(public, KEY.public())
    with pytest.raises(KeyFileError, match="is not an intact veiltune public part"):
        read_public_part(secret)
    public.chmod(0o600)
    assert "is not an intact veiltune secret key" in refusal(public)


def test_a_key_does_not_show_itself() -> None:
    assert "saved" not in repr(KEY) and str(KEY.modulus) in repr(KEY)


def test_a_fingerprint_tells_keys_and_parameters_apart() -> None:
    others = [replace(KEY, key=b"x"), replace(KEY, parameters=replace(PARAMETERS, digits=1))]
    assert len({key.fingerprint for key in [KEY, *others]}) == 3
    hashed = f"veiltune key fingerprint\0{PARAMETERS.describe()}\0what SEAL saved".encode()
    assert KEY.fingerprint == hashlib.sha256(hashed).hexdigest()[:32]
