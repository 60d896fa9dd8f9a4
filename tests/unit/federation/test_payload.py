"""What travels survives the way unchanged or is refused, and sums do not depend on order."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from veiltune.federation import Payload, PayloadError, PlainCodec, read_payload
from veiltune.federation.payload import make_payload

CODEC = PlainCodec()
NAMES = st.text(min_size=1, max_size=12).filter(lambda name: name.isprintable())


def upload(
    values: list[float], weight: float, site: str, job: str = "j", index: int = 3
) -> Payload:
    return CODEC.encode(torch.tensor(values), weight, job=job, round_index=index, site=site)


def assert_same(got: Payload, expected: Payload) -> None:
    assert got.header == expected.header
    assert got.body.tobytes() == expected.body.tobytes()


@given(
    codec=NAMES,
    job=NAMES,
    index=st.integers(0, 10**6),
    sites=st.lists(NAMES, min_size=1, max_size=4),
    weight=st.floats(0, 1e12),
    body=st.binary(max_size=64),
)
def test_a_payload_comes_back_as_it_went(
    codec: str, job: str, index: int, sites: list[str], weight: float, body: bytes
) -> None:
    payload = make_payload(codec, job, index, tuple(sites), weight, body)
    array = payload.to_array()
    assert array.dtype == np.uint8 and array.flags.c_contiguous
    assert array.size == payload.nbytes
    assert_same(read_payload(array), payload)


def refused(array: NDArray[np.uint8]) -> bool:
    """Whether the bytes are refused, in one line."""
    with pytest.raises(PayloadError) as caught:
        read_payload(array)
    return "\n" not in str(caught.value)


def test_every_changed_byte_is_noticed() -> None:
    """All 255 other values of every byte: header, weight, round, names and body alike."""
    payload = upload([1.5, -2.0, 3.25], 40.0, "site-1")
    array = payload.to_array()
    for place in range(array.size):
        for other in range(256):
            if other != array[place]:
                changed = array.copy()
                changed[place] = other
                assert refused(changed)


def test_every_truncation_and_extension_is_refused() -> None:
    payload = upload([1.5, -2.0, 3.25], 40.0, "site-1")
    array = payload.to_array()
    assert all(refused(array[:size]) for size in range(array.size))
    assert all(refused(array[start:]) for start in range(1, array.size))
    assert refused(np.append(array, np.uint8(0)))


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    for start in (b"", b"VTPL\x01\x00", b"VTPL\x01\x00\x02\x00\x00\x00[]", b"VTPL\x01\x00\x02\x00"):
        with pytest.raises(PayloadError):
            read_payload(np.frombuffer(start + data, np.uint8))


FINITE = st.floats(-1e3, 1e3, width=32)


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(
            st.tuples(st.lists(FINITE, min_size=n, max_size=n), st.integers(1, 5000)),
            min_size=1,
            max_size=6,
        )
    )
)
def test_a_decoded_sum_is_the_weighted_mean_in_any_order(
    updates: list[tuple[list[float], int]],
) -> None:
    payloads = [upload(v, w, f"site-{k}") for k, (v, w) in enumerate(updates)]
    total = CODEC.combine(payloads)
    assert_same(CODEC.combine(payloads[::-1]), total)
    assert_same(CODEC.combine(payloads[1:] + payloads[:1]), total)
    values = np.array([v for v, _ in updates], np.float64)
    weights = np.array([w for _, w in updates], np.float64)
    expected = np.average(values, axis=0, weights=weights)
    # Each product and each sum rounds once, relative to the largest term.
    tolerance = 1e-6 * (np.abs(values) * weights[:, None]).sum(0) / weights.sum() + 1e-30
    assert (np.abs(CODEC.decode(total).double().numpy() - expected) <= tolerance).all()
    assert total.header.weight == weights.sum()
    assert total.header.sites == tuple(sorted(f"site-{k}" for k in range(len(updates))))


def test_a_sum_is_bitwise_the_same_in_every_order() -> None:
    """Values of very different size, whose float32 sum depends on the order of addition."""
    draw = torch.Generator().manual_seed(0)
    payloads = [
        upload((torch.randn(200, generator=draw) * 10.0**k).tolist(), 10.0 + k, f"site-{k}")
        for k in range(4)
    ]
    bodies = {CODEC.combine(order).body.tobytes() for order in permutations(payloads)}
    assert len(bodies) == 1
    renamed = [
        upload(CODEC.decode(p).tolist(), p.header.weight, f"z-{9 - k}")
        for k, p in enumerate(payloads)
    ]
    assert CODEC.combine(renamed).body.tobytes() not in bodies, "the order should have mattered"


def test_updates_that_do_not_belong_together_are_refused() -> None:
    first = upload([1.0, 2.0], 1.0, "site-1")
    wrong = {
        "another job": upload([1.0, 2.0], 1.0, "site-2", job="other"),
        "another round": upload([1.0, 2.0], 1.0, "site-2", index=4),
        "another size": upload([1.0, 2.0, 3.0], 1.0, "site-2"),
        "a site twice": upload([5.0, 2.0], 1.0, "site-1"),
        "another codec": make_payload("other", "j", 3, ("site-2",), 1.0, first.body.tobytes()),
    }
    for payload in wrong.values():
        with pytest.raises(PayloadError):
            CODEC.combine([first, payload])
        with pytest.raises(PayloadError):
            CODEC.combine([payload, first])
    with pytest.raises(PayloadError):
        CODEC.combine([])
    with pytest.raises(PayloadError):
        CODEC.combine([wrong["another codec"]])
