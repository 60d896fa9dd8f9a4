"""Seeds on the command line."""

from veiltune.errors import SpecificationError


def parse_seeds(text: str | None) -> tuple[int, ...] | None:
    """The seeds in a list such as `1,2,3`; None stays None.

    Raises:
        SpecificationError: it is not such a list.
    """
    if text is None:
        return None
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError:
        seeds = ()
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise SpecificationError(
            [f"--seeds must be different whole numbers like 1,2,3, got {text}"]
        )
    return seeds
