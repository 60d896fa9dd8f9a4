"""A site's factory for the tests: `site-2` fails in round 1, with a text in what it says."""

from veiltune.federation import Site
from veiltune_jobs import wiring

TEXT = "Nokia's profit fell to EUR 7.8 mn"


def build_site(run: str, name: str) -> Site:
    """The site as the job describes it, except for round 1 of `site-2`."""
    site = wiring.build_site(run, name)
    train = site.trainer.train

    def failing(round_index: int, draw: object) -> object:
        if (name, round_index) == ("site-2", 1):
            raise ValueError(TEXT)
        return train(round_index, draw)  # type: ignore[arg-type]  # handed on as it came

    site.trainer.train = failing  # type: ignore[method-assign, assignment]  # what this is for
    return site
