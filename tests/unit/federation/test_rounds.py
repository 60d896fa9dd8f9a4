"""Whatever happens to sites and server between and in rounds, the job's result is the same."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from veiltune.adapter import flatten, unflatten
from veiltune.errors import DataError, RunError
from veiltune.federation import Payload, Task, run_inline
from veiltune.federation.site import reason_for
from veiltune.federation.site_state import load_state, read_rows
from veiltune.randomness import generator
from veiltune.training import LocalTrainer, PlainGradient

# The fixture's type lives in a conftest, which cannot be imported.
Make = Callable[..., Any]
SECRET = "Nokia's profit fell to EUR 7.8 mn, said a row"


def test_the_job_is_federated_averaging(federation: Make) -> None:
    """Against local training in a plain loop and NumPy's weighted mean in float64."""
    job = federation().run()
    names, total = list(job.names), job.rounds
    sites = {
        name: LocalTrainer(
            job.model, job.encoder(), job.rows(name), job.training, PlainGradient(), total
        )
        for name in names
    }
    shared = flatten(job.encoder()).double().numpy()
    for index in range(total):
        updates, weights = [], []
        for name, trainer in sites.items():
            unflatten(trainer.encoder, torch.from_numpy(shared).float())
            trainer.train(index, generator(7, "train", name, index))
            updates.append(flatten(trainer.encoder).double().numpy() - shared)
            weights.append(len(job.rows(name).context_ids))
        shared = shared + np.average(updates, axis=0, weights=weights)
    state = load_state(job.folder.site(names[0]))
    assert state is not None
    moved = np.linalg.norm(shared - flatten(job.encoder()).double().numpy())
    # Float32 sums against float64 ones: far below what one step moves.
    assert np.linalg.norm(state.global_vector.double().numpy() - shared) < 1e-4 * moved
    assert len(job.adapters()) == 1 and not job.missing()


@pytest.mark.parametrize("workers", [2, 3])
def test_it_does_not_matter_how_many_sites_work_at_once(
    workers: int, federation: Make, undisturbed: str
) -> None:
    assert federation().run(workers).adapters() == {undisturbed}


@pytest.mark.parametrize("order", [(2, 0, 1), (1, 2, 0)])
def test_it_does_not_matter_who_answers_first(
    order: tuple[int, ...], federation: Make, undisturbed: str
) -> None:
    job = federation()
    sites = job.sites()
    run_inline([sites[k] for k in order], job.coordinator(), 1, lambda: None)
    assert job.adapters() == {undisturbed}


@pytest.mark.parametrize("answers", [1, 3, 5, 12, 14])
def test_a_job_that_was_cut_goes_on_to_the_same_result(
    answers: int, federation: Make, undisturbed: str
) -> None:
    """Cut after any of its 15 answers (five rounds with the closing one, three sites)."""
    left = [answers]

    def cut() -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    job = federation()
    with pytest.raises(KeyboardInterrupt):
        job.run(tick=cut)
    assert job.run().adapters() == {undisturbed}
    assert [entry["round"] for entry in job.folder.outcomes()] == [0, 1, 2, 3, 4]
    assert [row["round"] for row in read_rows(job.folder.site("site-1"))] == [0, 1, 2, 3, 4]


def test_sites_built_anew_for_every_task_give_the_same(federation: Make, undisturbed: str) -> None:
    """As NVFlare's simulator does when it has fewer threads than sites."""
    job = federation()
    coordinator = job.coordinator()
    for _ in range(job.rounds + 1):
        for name in job.names:
            coordinator.receive(job.site(name).answer(coordinator.task(name)))
        coordinator.close_round()
    assert job.adapters() == {undisturbed}


def absent(site: str, *rounds: int) -> Callable[[str, int], None]:
    def before(name: str, index: int) -> None:
        if name == site and index in rounds:
            raise ValueError(SECRET)

    return before


def test_a_site_that_fails_is_named_and_catches_up(federation: Make) -> None:
    job = federation(before=absent("site-2", 1, 2)).run()
    assert list(job.missing()) == [1, 2]
    assert all(list(missing) == ["site-2"] for missing in job.missing().values())
    assert len(job.folder.finals(job.names)) == 3 and len(job.adapters()) == 1


def test_a_reason_names_no_text(federation: Make) -> None:
    job = federation(before=absent("site-2", 1)).run()
    said = (job.folder.server / "rounds.jsonl").read_text()
    assert "ValueError" in said and "Nokia" not in said and "7.8" not in said


def test_a_failed_round_leaves_no_trace_in_the_site(federation: Make) -> None:
    """A site that fails after its training gives what one that was never asked gives."""

    def half_done(name: str, index: int) -> None:
        if name == "site-2" and index == 1:
            site = sites[1]
            for parameter in site.trainer.encoder.parameters():
                parameter.data.fill_(1.0)
            site.trainer.optimizer.state.clear()
            site.state.global_vector.zero_()
            raise ValueError(SECRET)

    failing = federation("failing", before=half_done)
    sites = failing.sites()
    run_inline(sites, failing.coordinator(), 1, lambda: None)
    unasked = federation("unasked")
    coordinator, others = unasked.coordinator(), unasked.sites()
    for index in range(unasked.rounds + 1):
        for site in others:
            if (site.name, index) != ("site-2", 1):
                coordinator.receive(site.answer(coordinator.task(site.name)))
        coordinator.close_round()
    assert unasked.missing() == {1: {"site-2": "no answer"}}
    assert failing.adapters() == unasked.adapters()
    assert len(failing.adapters()) == 1


@pytest.mark.parametrize(("at", "missed"), [(1, []), (3, [3]), (4, [4])])
def test_a_site_whose_folder_is_wiped_catches_up(
    at: int, missed: list[int], federation: Make
) -> None:
    """It says what it lacks, misses at most one round, and ends with the others' adapter.

    In round 1 it misses none: the server has not heard yet that it had the sum of round 0.
    """
    job = federation()
    coordinator, sites = job.coordinator(), job.sites()
    while coordinator.next_round < at:
        for site in sites:
            coordinator.receive(site.answer(coordinator.task(site.name)))
        coordinator.close_round()
    shutil.rmtree(job.folder.site("site-2"))
    sites[1] = job.site("site-2")
    for _ in range(at, job.rounds + 1):
        for site in sites:
            coordinator.receive(site.answer(coordinator.task(site.name)))
        coordinator.close_round()
    assert list(job.missing()) == missed
    assert all("lacks the sums from round 0" in job.missing()[at]["site-2"] for at in missed)
    if at < job.rounds:
        assert len(job.folder.finals(job.names)) == 3
        state = load_state(job.folder.site("site-2"))
        assert state is not None and state.applied == job.rounds
    assert len(job.adapters()) == 1


def test_too_few_sites_end_the_job_and_it_goes_on_when_they_are_back(
    federation: Make, undisturbed: str
) -> None:
    job = federation(min_sites=3, before=absent("site-3", 2))
    with pytest.raises(RunError) as raised:
        job.run()
    message = str(raised.value)
    assert "round 2 needs at least 3 of 3 sites, got 2" in message and "site-3" in message
    assert "\n" not in message and "Nokia" not in message
    assert "error" in job.folder.outcomes()[-1]
    mended = federation(min_sites=3).run()
    assert mended.adapters() == {undisturbed}
    assert not any("error" in entry for entry in mended.folder.outcomes())


def test_a_frozen_model_that_changed_ends_the_job(federation: Make) -> None:
    job = federation()
    weight = next(job.model.model.parameters())
    kept = weight[0, 0].item()

    def touch(name: str, index: int) -> None:
        weight.view(-1)[0] = kept + 1 if index == 2 else weight.view(-1)[0]

    job.before = touch
    try:
        with pytest.raises(RunError, match="must be the same after a job as before"):
            job.run()
    finally:
        weight.view(-1)[0] = kept
    assert not job.folder.finals(job.names)


def test_a_damaged_state_is_one_sentence(federation: Make) -> None:
    job = federation().run()
    path = job.folder.site("site-1") / "state.pt"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match=r"state\.pt.*remove the file") as raised:
        job.site("site-1")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("claimed", [("site-1",), ("site-1", "site-1"), ("site-2", "site-1")])
def test_a_site_takes_in_no_sum_of_too_few(claimed: tuple[str, ...], federation: Make) -> None:
    """One site's upload handed out as the sum would show it to the others."""
    job = federation(min_sites=2)
    site = job.site("site-1")
    coordinator = job.coordinator()
    update = job.site("site-2").answer(coordinator.task("site-2")).update
    assert update is not None
    wrong = Payload(replace(update.header, sites=claimed), update.body)
    reply = site.answer(Task(1, job.rounds, {0: wrong}))
    assert reply.update is None and reply.applied == 0
    assert reply.reason is not None and "2 different sites" in reply.reason


def test_what_a_data_file_says_stays_at_the_site() -> None:
    text = "Nokia's profit fell"
    assert text in reason_for(RunError(text))
    assert text not in reason_for(DataError(text)) and text not in reason_for(ValueError(text))


def test_the_server_keeps_sums_only(federation: Make) -> None:
    job = federation().run()
    kept = sorted(path.name for path in job.folder.server.iterdir())
    assert kept == [
        "received.jsonl",
        "rounds.jsonl",
        *(f"sum-{index:05d}.bin" for index in range(4)),
    ]
