"""Updates survive quantising and summing within the stated bound, and encryption changes no bit."""

from collections.abc import Callable
from dataclasses import asdict
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from veiltune.errors import PayloadError, RunError
from veiltune.federation import Origin
from veiltune.federation.payload import make_sum
from veiltune_privacy.he.config import EncryptionConfig

Make = Callable[..., Any]

ENCRYPTED = [
    {"scheme": scheme, "bits": bits, "form": form}
    for scheme, bits, form in product(("ckks", "bfv"), (8, 12, 16), ("seeds", "full"))
]
FLOAT32 = 1e-7
"""Weighing and the mean are float32: about so much of values below 1."""


@pytest.mark.parametrize("settings", ENCRYPTED, ids=lambda s: "-".join(map(str, s.values())))
@pytest.mark.parametrize("sites", [1, 3, 10])
def test_the_encrypted_mean_is_bitwise_the_quantised_one(
    settings: dict[str, Any], sites: int, exchange: Make
) -> None:
    weights = [float(3 + 7 * index) for index in range(sites)]
    encrypted = exchange(**settings, weights=weights)
    quantised = exchange(bits=settings["bits"], weights=weights)
    for index in range(2):  # the second round has a residual and other ranges
        updates = quantised.updates(size=0.3) / (1 + index)
        one, other = encrypted.round(updates, index), quantised.round(updates, index)
        assert torch.equal(one.mean, other.mean)
        assert one.error_bound == other.error_bound


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_a_mean_of_values_in_range_is_off_by_no_more_than_the_bound(
    bits: int, rounding: str, exchange: Make
) -> None:
    made = exchange(bits=bits, rounding=rounding)
    updates = np.clip(made.updates(size=0.2), -0.3, 0.3)
    decoded = made.round(updates)
    error = np.abs(decoded.mean.double().numpy() - made.true_mean(updates)).max()
    assert 0.2 * decoded.error_bound < error <= decoded.error_bound + FLOAT32


def test_with_feedback_all_rounds_together_are_off_by_no_more_than_one(exchange: Make) -> None:
    rounds = 30
    made, forgetful = exchange(bits=12), exchange(bits=12, error_feedback=False)
    sums, bounds = np.zeros((3, made.parameters)), []
    draw = np.random.default_rng(4)
    for index in range(rounds):
        updates = draw.uniform(-0.2, 0.2, (3, made.parameters)).astype(np.float32)
        decoded = made.round(updates, index)
        bounds.append(decoded.error_bound)
        forgotten = forgetful.round(updates, index).mean
        sums += [decoded.mean.numpy(), forgotten.numpy(), made.true_mean(updates)]
    error = np.abs(sums[0] - sums[2]).max()
    assert error <= bounds[-1] + rounds * FLOAT32
    assert np.abs(sums[1] - sums[2]).max() > 1.5 * error, "feedback should have helped"


def test_what_is_clipped_is_counted_and_follows_later(exchange: Make) -> None:
    made = exchange(weights=[20.0, 20.0, 20.0], first_range=0.1)
    update = np.zeros(made.parameters, np.float32)
    update[[17, 5000]] = -0.95
    assert made.encode("site-2", update).clipped == 2
    made.states.clear()
    updates = np.stack([0 * update, update, 0 * update])
    means = [made.round(updates if index == 0 else 0 * updates, index).mean for index in range(6)]
    assert means[0][17].item() == pytest.approx(-0.1 / 3, rel=1e-4)
    assert means[1][17].item() < 2 * means[0][17].item() * (1 - 1e-4), "the range should grow"
    assert torch.stack(means).sum(0)[17].item() == pytest.approx(-0.95 / 3, rel=1e-4)


def test_a_restarted_site_goes_on_as_if_nothing_had_happened(exchange: Make) -> None:
    """`Exchange` builds each codec anew from its state; here one lives through all rounds."""
    made = exchange(rounding="stochastic", bits=12)
    lasting = made.codec("site-1")
    for index in range(4):
        updates = made.updates(size=0.4) / (1 + index)
        uploads = made.uploads(updates, index)
        origin = Origin(uploads[0].header.job, index, "site-1")
        own = lasting.encode(torch.from_numpy(updates[0]), made.weights[0], origin).payload
        assert own.header == uploads[0].header
        total = made.addition().combine(uploads)
        means = [made.decode(site, total).mean for site in made.sites]
        assert torch.equal(lasting.decode(total).mean, means[0])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_update_that_is_not_finite_is_refused(value: float, exchange: Make) -> None:
    made = exchange("ckks")
    update = np.zeros(made.parameters, np.float32)
    update[5] = value
    with pytest.raises(RunError, match="finite"):
        made.encode("site-1", update)


def test_an_update_of_another_size_is_refused(exchange: Make) -> None:
    with pytest.raises(RunError, match="9000 parameters"):
        exchange().encode("site-1", np.zeros(5, np.float32))


def test_a_payload_says_nothing_of_the_weight(exchange: Make) -> None:
    made = exchange("ckks", weights=[1.0, 4000.0, 20.0])
    headers = [asdict(upload.header) for upload in made.uploads(made.updates())]
    for header in headers:
        del header["sites"], header["sha256"]
    assert headers[0] == headers[1] == headers[2]
    assert "4000" not in str(headers)


def test_eight_bits_need_feedback() -> None:
    with pytest.raises(ValueError, match="error_feedback"):
        EncryptionConfig(scheme="ckks", bits=8, error_feedback=False)


@pytest.mark.parametrize("scheme", ["quantised", "ckks"])
def test_a_sum_that_its_sites_cannot_have_sent_is_refused(scheme: str, exchange: Make) -> None:
    """The sum of three sites that claims to be one site's."""
    made = exchange(scheme, form="full")
    uploads = made.uploads(made.updates(size=10.0))
    total = made.addition().combine(uploads)
    claimed = make_sum(total.header.codec, uploads[:1], total.body)
    with pytest.raises(PayloadError, match="does not open"):
        made.decode("site-3", claimed)
    assert made.retired == 1


def test_a_sum_that_is_not_of_this_exchange_is_refused(exchange: Make) -> None:
    made = exchange("ckks")
    updates = made.updates()
    total = made.addition().combine(made.uploads(updates))
    others = {
        "key": exchange("ckks", key_number=1),
        "parameters": exchange("ckks", bits=12),
        "quantised": exchange(),
    }
    for cause, other in others.items():
        wrong = other.addition().combine(other.uploads(updates))
        with pytest.raises(PayloadError, match=cause):
            made.decode("site-1", wrong)
    cut = make_sum(total.header.codec, [total], total.body[:-64])
    with pytest.raises(PayloadError, match="bytes"):
        made.decode("site-1", cut)
    with pytest.raises(PayloadError, match="sum"):
        made.decode("site-1", made.uploads(updates)[0])
    full = exchange("ckks", form="full").addition()
    with pytest.raises(PayloadError, match="codec"):
        made.decode("site-1", full.combine(made.uploads(updates)))
    assert made.retired == 0, "these are accidents, and tell nothing of the key"
    assert made.decode("site-1", total).mean.shape == (made.parameters,)


def test_one_sum_that_does_not_open_is_answered_and_no_more(exchange: Make) -> None:
    """Or whoever sends crafted sums would learn the key, bit by bit, from which of them open."""
    made = exchange("ckks", form="full")
    total = made.addition().combine(made.uploads(made.updates()))
    codec = made.codec("site-1")
    crafted = total.body.copy()
    crafted[:6] ^= 255
    with pytest.raises(PayloadError, match="does not open"):
        codec.decode(make_sum(total.header.codec, [total], crafted))
    assert made.retired == 1
    for _ in range(2):
        codec.load_state({})
        with pytest.raises(RunError, match="retired"):
            codec.decode(total)
    with pytest.raises(RunError, match="retired"):
        codec.encode(torch.zeros(made.parameters), 20.0, Origin("a-run", 1, "site-1"))


def test_a_sum_under_another_key_with_the_right_name_does_not_open(exchange: Make) -> None:
    """Whoever lies in the header is found out by the ciphertexts."""
    made, other = exchange("ckks"), exchange("ckks", key_number=1)
    uploads = made.uploads(made.updates())
    strange = other.addition().combine(other.uploads(made.updates()))
    with pytest.raises(PayloadError):
        made.decode("site-1", make_sum(strange.header.codec, uploads, strange.body))
