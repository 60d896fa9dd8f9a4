"""The example in docs/wire-format.md, number for number: what travels must not change unnoticed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from veiltune.federation import Origin, Payload
from veiltune.federation.payload import BEGINNING, extend_history
from veiltune_privacy.he.addition import ClearSum
from veiltune_privacy.he.cipher import ClearIntegers, clear_parameters
from veiltune_privacy.he.codec import IntegerCodec
from veiltune_privacy.he.config import EncryptionConfig
from veiltune_privacy.he.layout import Layout
from veiltune_privacy.he.packing import Packing
from veiltune_privacy.he.parameters import choose_parameters

PAGE = Path(__file__).parents[2] / "docs" / "wire-format.md"
SITES = {
    "site-1": (10.0, [0.1, -0.2, 0.0, 0.4]),
    "site-2": (20.0, [0.05, 0.25, -0.125, 0.1]),
    "site-3": (30.0, [-0.3, 0.1, 0.2, 0.5]),
}
LAYOUT = Layout(parameters=4, levels=32767)
PARAMETERS = clear_parameters(LAYOUT.levels, len(SITES), LAYOUT.digits)


def codec() -> IntegerCodec:
    cipher = ClearIntegers(LAYOUT.levels, len(SITES), LAYOUT.digits)
    config = EncryptionConfig(scheme="quantised")
    return IntegerCodec(config, LAYOUT, cipher, 20.0, seed=1, retire_key=lambda: None)


@pytest.fixture
def uploads() -> list[Payload]:
    return [
        codec().encode(torch.tensor(update), weight, Origin("example", 0, site)).payload
        for site, (weight, update) in SITES.items()
    ]


@pytest.fixture
def page() -> str:
    return PAGE.read_text()


def test_an_update_is_the_bytes_on_the_page(uploads: list[Payload], page: str) -> None:
    array = uploads[0].to_array()
    assert array.size == 336
    assert array[:10].tobytes().hex(" ") in page.replace("\n", " ")
    assert uploads[0].header.sha256 in page
    assert uploads[0].body.tobytes().hex(" ") in page
    text = array[10:320].tobytes().decode()
    assert text.rstrip(" ") in page.replace("\n    ", "") and text.count(" ") == 37 + 2


def test_the_sum_is_that_on_the_page(uploads: list[Payload], page: str) -> None:
    total = ClearSum(PARAMETERS, LAYOUT.digits, len(SITES)).combine(uploads)
    assert total.header.sha256 in page
    assert extend_history(BEGINNING, total) in page
    assert total.body.view("<i4").tolist() == [-22936, 19661, 11468, 52427, 1, 60, 0, 0]
    decoded = codec().decode(total)
    assert decoded.mean.tolist() == pytest.approx([-0.116662, 0.100004, 0.058331, 0.266666], 1e-5)
    assert f"{decoded.error_bound:.2e}".replace("e-06", "e-6") in page


def test_slots_are_those_on_the_page(uploads: list[Payload]) -> None:
    packing = Packing(levels=LAYOUT.levels, max_sites=3, digits_per_slot=2)
    slots = [
        packing.pack(upload.body.view("<i2").astype(np.int32), degree=4)[0] for upload in uploads
    ]
    assert slots[0].tolist() == [3277, 1959477, 0, 13107]
    assert np.sum(slots, axis=0).tolist() == [173667, 11815841, 11468, 52427]


def test_the_parameters_are_those_on_the_page(page: str) -> None:
    chosen = choose_parameters("ckks", LAYOUT.levels, len(SITES), LAYOUT.digits)
    assert chosen.describe() in page.replace("\n", " ")
    assert f"{chosen.scale:.4f}" in page
    assert (chosen.upload_bytes, chosen.download_bytes("seeds", 3)) == (8256, 8384)
