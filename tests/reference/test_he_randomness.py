"""Every encryption has its own seed from the operating system, in forked and new processes too."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from veiltune_privacy.he.ckks import (
    SecretContext,
    coefficient_modulus,
    new_secret_key,
)
from veiltune_privacy.he.packing import Packing
from veiltune_privacy.he.parameters import CipherParameters

PARAMETERS = CipherParameters(
    scheme="ckks",
    degree=2048,
    modulus_bits=54,
    plain_bits=None,
    packing=Packing(levels=127, max_sites=3, digits_per_slot=2),
    digits=4096,
)
SETUP = """
import os, resource, sys
from pathlib import Path
import numpy as np
from veiltune_privacy.he.ckks import SecretContext, seal
from veiltune_privacy.he.packing import Packing
from veiltune_privacy.he.parameters import CipherParameters

parameters = CipherParameters(scheme="ckks", degree=2048, modulus_bits=54, plain_bits=None,
    packing=Packing(levels=127, max_sites=3, digits_per_slot=2), digits=4096)
context = SecretContext(parameters, Path(sys.argv[1]).read_bytes())
"""
FORKED = """
sys.stdout.write(context.encrypt(np.zeros((2, 2048)))[1].tobytes().hex())
sys.stdout.flush()
for child in range(3):
    if os.fork() == 0:
        sys.stdout.write(context.encrypt(np.zeros((2, 2048)))[1].tobytes().hex())
        sys.stdout.flush()
        os._exit(0)
    os.wait()
sys.stdout.write(context.encrypt(np.zeros((2, 2048)))[1].tobytes().hex())
"""
TOGETHER = """
children = []
for child in range(4):
    reading, writing = os.pipe()
    if os.fork() == 0:
        slots = np.full((50, 2048), float(child))
        c0, seeds = context.encrypt(slots)
        same = np.array_equal(context.decrypt_seeded(c0, seeds[:, None]), slots)
        os.write(writing, b"exact" if same else b"wrong")
        os._exit(0)
    os.close(writing)
    children.append(reading)
print(*[os.read(reading, 5).decode() for reading in children])
"""
NO_DEVICE = """
encryptor = seal.Encryptor(context._context, seal.KeyGenerator(context._context).secret_key())
plain = seal.Plaintext()
seal.CKKSEncoder(context._context).encode([1.0], 1.0, plain)
encryptor.encrypt_symmetric(plain)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
try:
    encryptor.encrypt_symmetric(plain)
    print("encrypted")
except RuntimeError as error:
    print(error)
"""


def run(script: str, key_path: Path) -> str:
    """What a new Python process prints; one without other threads, so that it may fork."""
    command = [sys.executable, "-c", SETUP + script, str(key_path)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    return said.stdout


@pytest.fixture
def key_path(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(new_secret_key(PARAMETERS))
    return path


def test_no_two_of_many_encryptions_share_a_seed() -> None:
    context = SecretContext(PARAMETERS, new_secret_key(PARAMETERS))
    _, seeds = context.encrypt(np.zeros((500, 2048)))
    assert len({seed.tobytes() for seed in seeds}) == 500
    # Nor any part of one: with 16 bytes by chance once in 1e32 runs.
    parts = seeds.reshape(-1, 16)
    assert len({part.tobytes() for part in parts}) == len(parts)


def test_forked_and_new_processes_have_seeds_of_their_own(key_path: Path) -> None:
    """A fork has its parent's memory, and so the state of any generator that is kept there."""
    said = [run(FORKED, key_path) for _ in range(2)]
    seeds = [text[at : at + 128] for text in said for at in range(0, len(text), 128)]
    assert [len(text) for text in said] == [10 * 128] * 2
    assert len(set(seeds)) == 20


def test_forked_processes_that_work_at_once_do_not_disturb_one_another(key_path: Path) -> None:
    """Whatever a context uses for passing objects to SEAL is not shared with its forks."""
    assert run(TOGETHER, key_path).split() == ["exact"] * 4


@pytest.mark.skipif(sys.platform != "linux", reason="needs a random device that is a file")
def test_each_encryption_asks_the_operating_system(key_path: Path) -> None:
    """A process that may open no more files cannot encrypt again: nothing was kept from before."""
    assert "random_device" in run(NO_DEVICE, key_path)


@pytest.mark.parametrize("value", [0.0, float(PARAMETERS.packing.slot_limit // 3)])
def test_a_ciphertext_looks_uniform_whatever_it_holds(value: float) -> None:
    """Chi square over 256 equal parts of the residues; a false alarm in 1e9 runs."""
    modulus = coefficient_modulus(PARAMETERS)
    context = SecretContext(PARAMETERS, new_secret_key(PARAMETERS))
    c0, _ = context.encrypt(np.full((64, PARAMETERS.degree), value))
    parts = np.floor(c0.reshape(-1) * (256 / modulus)).astype(int)
    counts = np.bincount(np.clip(parts, 0, 255), minlength=256)
    expected = c0.size / 256
    assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-9, 255)
