"""How a job's updates travel: keys, the sites' codec and the server's addition."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from veiltune.adapter import encoder_parameters
from veiltune.backbone import check_backbone
from veiltune.federation import PayloadSum, PlainCodec, PlainSum, UpdateCodec
from veiltune.records import RunFolder
from veiltune_jobs.job import JobSpec
from veiltune_privacy.he.addition import CiphertextSum, ClearSum
from veiltune_privacy.he.cipher import ClearIntegers, EncryptedIntegers, clear_parameters
from veiltune_privacy.he.codec import IntegerCodec
from veiltune_privacy.he.keys import (
    KeyFileError,
    PublicPart,
    SecretKey,
    generate_key,
    read_public_part,
    read_secret_key,
    write_public_part,
    write_secret_key,
)
from veiltune_privacy.he.layout import Layout
from veiltune_privacy.he.parameters import (
    MAX_LOG2_FAILURE,
    CipherParameters,
    Form,
    choose_parameters,
)
from veiltune_privacy.he.planning import choose_form
from veiltune_privacy.he.quantisation import levels

SECRET_KEY_FILE = "secret.key"
PUBLIC_PART_FILE = "public.json"
RETIRED_FILE = "key-retired"
"""Stands where a site's key was that is not to be used any more."""


def layout(spec: JobSpec, width: int) -> Layout:
    """The digits of one update under a frozen model of this width."""
    parameters = encoder_parameters(spec.adapter, width)
    return Layout(parameters, levels(spec.privacy.encryption.bits))


def max_sites(spec: JobSpec) -> int:
    """The most sites whose sum is exact."""
    return spec.privacy.encryption.max_sites or len(spec.sites())


def cipher_parameters(spec: JobSpec, width: int) -> CipherParameters:
    """The encryption's parameters for this job.

    Raises:
        SpecificationError: nothing is exact, secure and small enough for these bits and sites.
    """
    scheme = spec.privacy.encryption.scheme
    assert scheme in ("ckks", "bfv")
    row = layout(spec, width)
    return choose_parameters(scheme, row.levels, max_sites(spec), row.digits)


def download_form(spec: JobSpec, cipher: CipherParameters) -> Form:
    """What the sites of this job are sent."""
    chosen = spec.privacy.encryption.download
    return choose_form(cipher, len(spec.sites())) if chosen == "auto" else chosen


def provide_keys(spec: JobSpec, folder: RunFolder) -> None:
    """Every site of the run has the secret key, and the server its public part.

    Keys are made afresh for every run. A run that is taken up again keeps its keys, for the sums on
    the server's disk were encrypted under them.
    """
    if not spec.privacy.encryption.encrypted or _public_path(folder).exists():
        return
    key = generate_key(cipher_parameters(spec, check_backbone(spec.backbone)))
    destroy_keys(spec, folder)  # of a run that was cut right here
    for name in spec.sites():
        folder.site(name).mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret_key(_secret_path(folder, name), key)
    folder.server.mkdir(parents=True, exist_ok=True)
    write_public_part(_public_path(folder), key.public())


def destroy_keys(spec: JobSpec, folder: RunFolder) -> None:
    """No site of the run has the secret key any more, so its sums stay closed for ever."""
    for name in spec.sites():
        _secret_path(folder, name).unlink(missing_ok=True)


def site_key(spec: JobSpec, folder: RunFolder, name: str, width: int) -> SecretKey | None:
    """The key of the site `name`, where this job has keys.

    Raises:
        KeyFileError: the site's key cannot be used as it is.
    """
    if not spec.privacy.encryption.encrypted:
        return None
    if (folder.site(name) / RETIRED_FILE).exists():
        raise KeyFileError(
            f"the key of {name} was retired when a sum did not open under it; find out who broke "
            f"the protocol before you start a new run with --fresh"
        )
    return read_secret_key(_secret_path(folder, name), cipher_parameters(spec, width))


def retire_key(folder: RunFolder, name: str) -> None:
    """The site `name` never uses its key of this run again."""
    (folder.site(name) / RETIRED_FILE).touch()
    _secret_path(folder, name).unlink(missing_ok=True)


def make_codec(
    spec: JobSpec,
    width: int,
    reference_weight: float,
    key: SecretKey | None,
    retire_key: Callable[[], None] = lambda: None,
) -> UpdateCodec:
    """A site's side of the exchange."""
    config = spec.privacy.encryption
    assert config.encrypted == (key is not None), "an encrypted job never goes on without a key"
    if config.scheme == "none":
        return PlainCodec()
    row = layout(spec, width)
    cipher = (
        ClearIntegers(row.levels, max_sites(spec), row.digits)
        if key is None
        else EncryptedIntegers(key, download_form(spec, key.parameters), spec.runtime.threads)
    )
    return IntegerCodec(config, row, cipher, reference_weight, spec.seed, retire_key)


def make_addition(spec: JobSpec, public: PublicPart | None) -> PayloadSum:
    """The server's side of the exchange."""
    match spec.privacy.encryption.scheme:
        case "none":
            return PlainSum()
        case "quantised":
            row = layout(spec, check_backbone(spec.backbone))
            parameters = clear_parameters(row.levels, max_sites(spec), row.digits)
            return ClearSum(parameters, row.digits, max_sites(spec))
    assert public is not None
    form = download_form(spec, public.parameters)
    return CiphertextSum(public, form, spec.runtime.threads)


def public_part(spec: JobSpec, folder: RunFolder) -> PublicPart | None:
    """What the server of the run may know of its key, where there is one."""
    if not spec.privacy.encryption.encrypted:
        return None
    return read_public_part(_public_path(folder))


def describe(spec: JobSpec, cipher: CipherParameters) -> dict[str, Any]:
    """The encryption of a job as plain values; a failure that cannot happen is None."""
    failure = cipher.log2_failure
    return {
        "scheme": cipher.scheme,
        "degree": cipher.degree,
        "modulus_bits": cipher.modulus_bits,
        "security_bits": cipher.security_bits,
        "log2_failure_per_slot": failure if math.isfinite(failure) else None,
        "bits": spec.privacy.encryption.bits,
        "values_per_slot": cipher.packing.digits_per_slot,
        "bits_per_slot": cipher.packing.slot_bits,
        "max_sites": cipher.packing.max_sites,
        "download": download_form(spec, cipher),
    }


def short(encryption: dict[str, Any]) -> str:
    """One phrase for what `describe` gave."""
    return (
        "{scheme} with ring degree {degree} and a {modulus_bits}-bit modulus, "
        "{security_bits}-bit security, {bits}-bit values".format(**encryption)
    )


def failure(encryption: dict[str, Any]) -> str:
    """How often a slot decodes wrongly; the exact bound is in what `describe` gave."""
    if encryption["log2_failure_per_slot"] is None:
        return "never"
    return f"with a probability below 2^{MAX_LOG2_FAILURE:.0f}"


def _secret_path(folder: RunFolder, name: str) -> Path:
    return folder.site(name) / SECRET_KEY_FILE


def _public_path(folder: RunFolder) -> Path:
    return folder.server / PUBLIC_PART_FILE
