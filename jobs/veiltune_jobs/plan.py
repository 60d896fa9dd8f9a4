"""What a job will cost, before anything is trained: sizes, bytes, memory and time.

Counts and bytes are exact: they come from the objects a run uses. Seconds and memory are measured
on this machine, by doing once what a site does again and again.
"""

import os
import resource
import sys
import time
from itertools import pairwise
from typing import Any

import torch

from veiltune.adapter import encoder_parameters
from veiltune.backbone import load_backbone
from veiltune.data import duplicates_across_splits, label_counts
from veiltune.federation import Origin
from veiltune_jobs import exchange, private_training
from veiltune_jobs.costs import measure
from veiltune_jobs.job import JobSpec
from veiltune_jobs.wiring import encode_examples, load_corpus
from veiltune_privacy.he.keys import generate_key


def plan(spec: JobSpec) -> dict[str, Any]:
    """The plan of a job as plain values. It loads the frozen model and takes a few steps."""
    corpus = load_corpus(spec)
    torch.set_num_threads(spec.runtime.threads)
    model = load_backbone(spec.backbone)
    shards = {
        site: encode_examples(spec, model, corpus, rows) for site, rows in corpus.shards.items()
    }
    validation = encode_examples(spec, model, corpus, corpus.dataset.validation)
    largest = max(shards.values(), key=len)
    costs = measure(spec, model, largest, validation)
    travel = _exchange(spec, model.width, {site: len(shard) for site, shard in shards.items()})
    steps = {site: spec.training.steps(len(shard)) for site, shard in shards.items()}
    work_s = costs.work_s(spec, [len(shard) for shard in shards.values()])
    at_once = min(spec.runtime.parallel_sites or len(steps), len(steps), os.cpu_count() or 1)
    dataset = corpus.dataset
    return {
        "job": spec.name,
        "data": dataset.name,
        "synthetic": dataset.synthetic,
        "examples": {site: len(rows) for site, rows in corpus.shards.items()},
        "label_counts": {
            site: label_counts(rows, dataset.labels) for site, rows in corpus.shards.items()
        },
        "validation": len(dataset.validation),
        "test": len(dataset.test),
        "duplicates": duplicates_across_splits(dataset),
        "truncated": {site: shard.truncated for site, shard in shards.items()},
        "trained_parameters": encoder_parameters(spec.adapter, model.width),
        "rounds": spec.federation.rounds,
        "steps_per_round": steps,
        "memory_mb_per_site": _peak_memory_mb(),
        "seconds_per_step": costs.step_s,
        "training_seconds": work_s / at_once,
        "example_level_dp": private_training.plan(spec, {s: len(x) for s, x in shards.items()}),
        **travel,
    }


def _exchange(spec: JobSpec, width: int, examples: dict[str, int]) -> dict[str, Any]:
    """One round's exchange, done once: bytes as they will be, seconds as they are here."""
    config = spec.privacy.encryption
    key, encryption = None, None
    if config.encrypted:
        key = generate_key(exchange.cipher_parameters(spec, width))
        encryption = exchange.describe(spec, key.parameters)
    average = sum(examples.values()) / len(examples)
    codec = exchange.make_codec(spec, width, average, key)
    addition = exchange.make_addition(spec, key.public() if key else None)
    nothing = torch.zeros(encoder_parameters(spec.adapter, width))
    moments = [time.perf_counter()]
    updates = []
    for site, count in examples.items():
        updates.append(codec.encode(nothing, float(count), Origin("0" * 12, 0, site)).payload)
    moments.append(time.perf_counter())
    for update in updates:
        addition.check(update)
    total = addition.combine(updates)
    moments.append(time.perf_counter())
    decoded = codec.decode(total)
    moments.append(time.perf_counter())
    encode_s, add_s, decode_s = (b - a for a, b in pairwise(moments))
    return {
        "upload_bytes_per_site_round": max(update.nbytes for update in updates),
        "download_bytes_per_site_round": total.nbytes,
        "seconds_encode": encode_s / len(updates),
        "seconds_add": add_s,
        "seconds_decode": decode_s,
        "error_bound": decoded.error_bound,
        "encryption": encryption,
    }


def describe(numbers: dict[str, Any]) -> str:
    """The plan for a person to read."""
    counts = "; ".join(
        f"{site} {numbers['examples'][site]} ("
        + ", ".join(f"{count} {label}" for label, count in of_label.items())
        + ")"
        for site, of_label in numbers["label_counts"].items()
    )
    synthetic = ", synthetic" if numbers["synthetic"] else ""
    repeated = sum(numbers["duplicates"].values())
    lines = {
        "data": f"{numbers['data']}{synthetic}; {numbers['validation']} validation, "
        f"{numbers['test']} test; {repeated} duplicates across splits",
        "training examples": counts,
        "cut to the window": f"{sum(numbers['truncated'].values())} texts",
        "trained parameters": f"{numbers['trained_parameters']:,}",
        "rounds": f"{numbers['rounds']}, steps a round: "
        + ", ".join(f"{site} {steps}" for site, steps in numbers["steps_per_round"].items()),
        "bytes a site and round": f"{numbers['upload_bytes_per_site_round']:,} up, "
        f"{numbers['download_bytes_per_site_round']:,} down",
        "memory of a site": f"{numbers['memory_mb_per_site']:,} MB (measured)",
        "time": f"{numbers['training_seconds']:.0f} s of training and evaluation on this machine "
        f"({1000 * numbers['seconds_per_step']:.0f} ms a step), without start-up",
        "time of the exchange": f"{1000 * numbers['seconds_encode']:.0f} ms a site to encode, "
        f"{1000 * numbers['seconds_add']:.0f} ms to add, "
        f"{1000 * numbers['seconds_decode']:.0f} ms a site to decode",
        "encryption": _encryption(numbers["encryption"]),
        "rounding": f"moves a parameter of the first mean by at most {numbers['error_bound']:.2g}"
        if numbers["error_bound"]
        else "none",
        "differential privacy": _privacy(numbers["example_level_dp"]),
    }
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines.items())


def _privacy(plan: dict[str, Any] | None) -> str:
    if plan is None:
        return "none: the prompt may reveal training text"
    sites = "; ".join(
        f"{site} sigma {each['noise_multiplier']:.4g}, delta {each['delta']:.2g}, epsilon "
        f"{each['epsilon_by_round'][0]:.3g} after one round, {each['epsilon_by_round'][-1]:.4g} "
        f"after all"
        for site, each in plan["sites"].items()
    )
    return f"{plan['neighbours']}, {plan['space']} space, clip norm {plan['clip_norm']:g}: {sites}"


def _encryption(encryption: dict[str, Any] | None) -> str:
    if encryption is None:
        return "none: the server can read every update"
    return (
        f"{exchange.short(encryption)}, {encryption['values_per_slot']} values in the "
        f"{encryption['bits_per_slot']:.1f} bits of a slot; a slot of a sum of up to "
        f"{encryption['max_sites']} sites decodes wrongly {exchange.failure(encryption)}; "
        f"download form: {encryption['download']}"
    )


def _peak_memory_mb() -> int:
    """The most memory this process has held, which did what a site does."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3))
