"""The server adds what belongs together, names what is wrong with the rest, and is not fooled."""

from collections.abc import Callable
from dataclasses import fields, replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from veiltune.errors import PayloadError
from veiltune.federation import Coordinator, Origin, Payload, Reply, read_payload
from veiltune.federation.messages import read_reply
from veiltune.federation.payload import PayloadHeader, make_payload
from veiltune_privacy.he.parameters import SEED_BYTES

Make = Callable[..., Any]
MUTANTS = 1200


def altered(payload: Payload, body: NDArray[np.uint8] | None = None, **header: Any) -> Payload:
    """The payload of a sender who alters some of it and makes the SHA-256 fit."""
    given = {name: header.pop(name, getattr(payload.header, name)) for name in NAMES}
    origin = Origin(given["job"], given["round"], given["sites"][0], given["history"])
    return make_payload(
        given["codec"],
        origin,
        payload.body if body is None else body,
        key=given["key"],
        parameters=given["parameters"],
    )


NAMES = [field.name for field in fields(PayloadHeader)]


@pytest.mark.parametrize("scheme", ["quantised", "ckks", "bfv"])
def test_a_sum_does_not_depend_on_the_order(scheme: str, exchange: Make) -> None:
    made = exchange(scheme)
    uploads = made.uploads(made.updates())
    sums = [made.addition().combine(order) for order in permutations(uploads)]
    assert len({total.header for total in sums}) == 1
    assert sums[0].header.sites == ("site-1", "site-2", "site-3")


@pytest.mark.parametrize("form", ["seeds", "full"])
def test_worker_processes_change_no_bit(form: str, exchange: Make, monkeypatch: Any) -> None:
    made = exchange("ckks", form=form)
    uploads = made.uploads(made.updates())
    expected = made.addition().combine(uploads)
    for module in ("addition", "cipher"):
        monkeypatch.setattr(f"veiltune_privacy.he.{module}.CHUNK", 1)
        monkeypatch.setattr(f"veiltune_privacy.he.{module}.CHUNKS_A_PROCESS", 1)
    many = exchange("ckks", form=form, processes=2)
    total = many.addition().combine(uploads)
    assert total.header == expected.header
    one, other = made.decode("site-1", total), many.decode("site-1", total)
    assert one.mean.equal(other.mean)
    streaming = exchange("ckks", form=form, processes=2)
    assert streaming.round(streaming.updates()).mean.equal(one.mean)


def test_uploads_that_were_made_otherwise_are_refused_with_the_cause(exchange: Make) -> None:
    made = exchange("ckks")
    addition, updates = made.addition(), made.updates()
    good = made.uploads(updates)[0]
    rows = good.body.reshape(made.key.parameters.ciphertexts, -1)
    too_large = rows.copy()
    too_large[0, :7] = 255
    twice = rows.copy()
    twice[1, -SEED_BYTES:] = twice[0, -SEED_BYTES:]
    wrong = {
        "quantised": exchange().uploads(updates)[0],
        "under the key": exchange("ckks", key_number=1).uploads(updates)[0],
        "with the parameters": altered(good, parameters=good.header.parameters + " "),
        "bytes": altered(good, good.body[:-1]),
        "below": altered(good, too_large.reshape(-1)),
        "one seed": altered(good, twice.reshape(-1)),
    }
    addition.check(good)
    for cause, payload in wrong.items():
        with pytest.raises(PayloadError, match=cause):
            addition.check(payload)


def test_more_sites_than_there_is_room_for_are_refused(exchange: Make) -> None:
    for scheme in ("quantised", "ckks"):
        made = exchange(scheme)
        uploads = made.uploads(made.updates())
        fourth = made.encode("site-1", made.updates()[0]).payload
        with pytest.raises(PayloadError, match="room for 3"):
            made.addition().combine([*uploads, altered(fourth, sites=("site-4",))])


def test_sites_that_share_a_seed_are_refused(exchange: Make) -> None:
    """As two machines would that were copied together with their random numbers."""
    made = exchange("ckks")
    uploads = made.uploads(made.updates())
    rows = [upload.body.reshape(made.key.parameters.ciphertexts, -1) for upload in uploads]
    copied = rows[1].copy()
    copied[-1, -SEED_BYTES:] = rows[0][0, -SEED_BYTES:]
    with pytest.raises(PayloadError, match="one seed"):
        made.addition().combine([uploads[0], altered(uploads[1], copied.reshape(-1))])


def test_a_round_goes_on_without_a_refused_site_and_stays_exact(
    exchange: Make, tmp_path: Any
) -> None:
    made, two = exchange("ckks"), exchange()
    updates = made.updates()
    uploads = made.uploads(updates)
    coordinator = Coordinator(made.addition(), tmp_path, "a-run", made.sites, 2, 1)
    for upload in (uploads[0], altered(uploads[1], key="another"), uploads[2]):
        site = upload.header.sites[0]
        coordinator.receive(Reply(site, 0, 0, upload))
    missing = coordinator.close_round()
    assert list(missing) == ["site-2"] and "under the key another" in missing["site-2"]
    clear = two.uploads(updates)
    expected = two.decode("site-1", two.addition().combine([clear[0], clear[2]]))
    assert made.decode("site-1", coordinator.sums[0]).mean.equal(expected.mean)


def test_no_mutated_answer_is_accepted(exchange: Make, tmp_path: Any) -> None:
    """Bits flipped, bytes changed, cut, added, moved: anywhere in a site's answer as it travels."""
    made = exchange("ckks", parameters=3000)
    coordinator = Coordinator(made.addition(), tmp_path, "a-run", made.sites, 1, 1)
    update = made.encode("site-1", made.updates()[0]).payload
    array = update.to_array()
    draw = np.random.default_rng(0)
    accepted = 0
    for index in range(MUTANTS):
        mutant = mutate(array, index, draw)
        assert not np.array_equal(mutant, array)
        arrays = Reply("site-1", 0, 0, update).to_arrays() | {"update": mutant}
        try:
            coordinator.receive(read_reply(arrays))
            accepted += "site-1" in coordinator._updates
        except PayloadError as error:
            assert "\n" not in str(error)
    assert accepted == 0
    coordinator.receive(Reply("site-1", 0, 0, update))
    assert "site-2" in coordinator.close_round() and coordinator.sums[0].header.sites == ("site-1",)


def test_no_mutated_field_is_accepted(exchange: Make, tmp_path: Any) -> None:
    """As above, by a sender who knows the format: the SHA-256 fits, one field does not."""
    made = exchange("ckks", parameters=3000)
    coordinator = Coordinator(made.addition(), tmp_path, "a-run", made.sites, 1, 1)
    update = made.encode("site-1", made.updates()[0]).payload
    others = {
        "codec": ["", "bfv", "quantised", "plain-float32", "ckks-sum-seeds", "ckks-sum-full"],
        "key": ["", update.header.key[:-1], update.header.key.upper(), "0" * 32],
        "parameters": ["", update.header.parameters.replace("3", "4", 1)],
        "job": ["", "another"],
        "round": [-1, 1, 2**40],
        "history": ["", "1" * 64],
        "sites": [("site-2",), ("site-4",), ("",), ("site-1 ",)],
    }
    for name, values in others.items():
        for value in values:
            mutant = altered(update, **{name: value})
            assert read_payload(mutant.to_array()).header == mutant.header
            coordinator.receive(Reply("site-1", 0, 0, mutant))
            assert "site-1" not in coordinator._updates, f"{name} {value!r} was accepted"
    several = replace(update.header, sites=("site-1", "site-2"))
    coordinator.receive(Reply("site-1", 0, 0, Payload(several, update.body)))
    assert "site-1" not in coordinator._updates


def mutate(array: NDArray[np.uint8], kind: int, draw: np.random.Generator) -> NDArray[np.uint8]:
    """One of several kinds of damage at a random place, the header's half of the time."""
    limit = 600 if draw.random() < 0.5 else len(array)
    place = int(draw.integers(limit))
    match kind % 5:
        case 0:
            mutant = array.copy()
            mutant[place] ^= 1 << draw.integers(8)
            return mutant
        case 1:
            mutant = array.copy()
            mutant[place] += draw.integers(1, 256)
            return mutant
        case 2:
            return array[:place]
        case 3:
            return np.insert(array, place, draw.integers(256, size=1 + kind % 70))
        case _:
            return np.delete(array, slice(place, place + 1 + kind % 70))
