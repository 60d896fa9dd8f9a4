"""What travels survives the way unchanged or is refused, and sums do not depend on order."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from veiltune.errors import PayloadError
from veiltune.federation import Origin, Payload, PlainCodec, PlainSum, read_payload
from veiltune.federation.payload import BEGINNING, extend_history, make_payload, make_sum

CODEC = PlainCodec()
ADDITION = PlainSum()
NAMES = st.text(min_size=1, max_size=12).filter(lambda name: name.isprintable())


def upload(
    values: list[float], weight: float, site: str, job: str = "j", index: int = 3
) -> Payload:
    return CODEC.encode(torch.tensor(values), weight, Origin(job, index, site)).payload


def assert_same(got: Payload, expected: Payload) -> None:
    assert got.header == expected.header
    assert got.body.tobytes() == expected.body.tobytes()


@given(
    codec=NAMES,
    key=NAMES,
    parameters=NAMES,
    job=NAMES,
    index=st.integers(0, 10**6),
    sites=st.lists(NAMES, min_size=1, max_size=4, unique=True),
    history=NAMES,
    body=st.binary(max_size=64),
)
def test_a_payload_comes_back_as_it_went(
    codec: str,
    key: str,
    parameters: str,
    job: str,
    index: int,
    sites: list[str],
    history: str,
    body: bytes,
) -> None:
    addends = [
        make_payload(codec, Origin(job, index, site, history), body, key=key, parameters=parameters)
        for site in sites
    ]
    payload = make_sum(codec, addends, body)
    assert payload.header.sites == tuple(sorted(sites))
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
    """All 255 other values of every byte: header, names, round, weight and body alike."""
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
    total = ADDITION.combine(payloads)
    assert_same(ADDITION.combine(payloads[::-1]), total)
    assert_same(ADDITION.combine(payloads[1:] + payloads[:1]), total)
    values = np.array([v for v, _ in updates], np.float64)
    weights = np.array([w for _, w in updates], np.float64)
    expected = np.average(values, axis=0, weights=weights)
    # Each product and each sum rounds once, relative to the largest term.
    tolerance = 1e-6 * (np.abs(values) * weights[:, None]).sum(0) / weights.sum() + 1e-30
    assert (np.abs(CODEC.decode(total).mean.double().numpy() - expected) <= tolerance).all()
    assert total.body[:8].view("<f8")[0] == weights.sum()
    assert total.header.sites == tuple(sorted(f"site-{k}" for k in range(len(updates))))


def test_a_sum_is_bitwise_the_same_in_every_order() -> None:
    """Values of very different size, whose float32 sum depends on the order of addition."""
    draw = torch.Generator().manual_seed(0)
    payloads = [
        upload((torch.randn(200, generator=draw) * 10.0**k).tolist(), 10.0 + k, f"site-{k}")
        for k in range(4)
    ]
    bodies = {ADDITION.combine(order).body.tobytes() for order in permutations(payloads)}
    assert len(bodies) == 1
    renamed = [
        upload(CODEC.decode(p).mean.tolist(), 10.0 + k, f"z-{9 - k}")
        for k, p in enumerate(payloads)
    ]
    assert ADDITION.combine(renamed).body.tobytes() not in bodies, "the order should have mattered"


def test_updates_that_do_not_belong_together_are_refused() -> None:
    first = upload([1.0, 2.0], 1.0, "site-1")
    wrong = {
        "another job": upload([1.0, 2.0], 1.0, "site-2", job="other"),
        "another round": upload([1.0, 2.0], 1.0, "site-2", index=4),
        "another size": upload([1.0, 2.0, 3.0], 1.0, "site-2"),
        "a site twice": upload([5.0, 2.0], 1.0, "site-1"),
        "another codec": make_payload("other", Origin("j", 3, "site-2"), first.body),
        "another key": make_payload(
            first.header.codec, Origin("j", 3, "site-2"), first.body, key="k"
        ),
        "other parameters": make_payload(
            first.header.codec, Origin("j", 3, "site-2"), first.body, parameters="p"
        ),
        "another history": make_payload(
            first.header.codec, Origin("j", 3, "site-2", "other"), first.body
        ),
    }
    for payload in wrong.values():
        with pytest.raises(PayloadError):
            ADDITION.combine([first, payload])
        with pytest.raises(PayloadError):
            ADDITION.combine([payload, first])
    with pytest.raises(PayloadError):
        ADDITION.combine([])
    with pytest.raises(PayloadError):
        ADDITION.check(wrong["another codec"])
    with pytest.raises(PayloadError):
        CODEC.decode(wrong["another codec"])


@pytest.mark.parametrize("size", [0, 7, 11])
def test_a_body_that_is_no_row_of_float32_is_refused(size: int) -> None:
    codec = upload([1.0], 1.0, "site-1").header.codec
    with pytest.raises(PayloadError, match="not a row"):
        ADDITION.check(make_payload(codec, Origin("j", 3, "site-1"), bytes(size)))


def test_a_history_names_the_sums_and_their_order() -> None:
    one, two = upload([1.0], 1.0, "site-1"), upload([2.0], 1.0, "site-1")
    forward = extend_history(extend_history(BEGINNING, one), two)
    assert forward == extend_history(extend_history(BEGINNING, one), two)
    assert (
        len(
            {
                forward,
                extend_history(extend_history(BEGINNING, two), one),
                extend_history(BEGINNING, two),
            }
        )
        == 3
    )
