"""Clipping: what one example may add to a sum.

A private step adds up its examples' gradients, each shortened to the clip norm where it is longer
(Abadi et al. 2016, algorithm 1). The clip norm C is fixed: a bound that followed the data would
have to be paid for.

*Guarantee*: `bounded` and `clip_factors` together make every example's part of a sum at most C long
in the Euclidean norm, so adding or removing one example moves the sum by at most C. This holds up
to the rounding of float32, about one part in a million of C, and assumes that row i of what comes
in depends on example i alone.

    edge case                      its part of the sum
    zero gradient                  zero
    infinite or NaN, or so long    zero; a value that is not a number would have no bound and would
    that its norm overflows        show that the example is there
    no examples                    a sum of zero, to which noise is still added
"""

import torch
from torch import Tensor

from veiltune.errors import RunError

NORM_OFFSET = 1e-6
"""Added to a norm before dividing by it, as Opacus does."""


class DpError(RunError):
    """A private step was asked for in a way that would not be private, and was not taken."""


def clip_factors(norms: Tensor, clip_norm: float) -> Tensor:
    """What each gradient is multiplied with, `(examples,)`: min(1, C / norm), never negative.

    A norm that is infinite or NaN has the factor 0.
    """
    factors = (clip_norm / (norms + NORM_OFFSET)).clamp(max=1.0)
    return torch.where(torch.isfinite(norms), factors, 0.0)


def bounded(gradients: Tensor, norms: Tensor) -> Tensor:
    """`gradients` with zeros for every example whose norm is infinite or NaN.

    A factor of 0 would not do: zero times infinity is NaN.
    """
    finite = torch.isfinite(norms)
    if finite.all():
        return gradients
    return torch.where(finite.view(-1, *[1] * (gradients.ndim - 1)), gradients, 0.0)


def row_norms(gradients: Tensor) -> Tensor:
    """The Euclidean norm of each example's gradient `(examples, ...)`, `(examples,)`."""
    norms: Tensor = torch.linalg.vector_norm(gradients.flatten(1), dim=1)
    return norms


def require_rows(what: Tensor, examples: int) -> None:
    """Returns if the first axis of `what` counts the examples of this step.

    A model that answers with one row for a whole batch would pass through clipping unnoticed, as
    though the batch were one example.

    Raises:
        DpError: it does not.
    """
    if what.ndim == 0 or what.shape[0] != examples:
        raise DpError(
            f"a private step needs one gradient for each of its {examples} examples, got shape "
            f"{tuple(what.shape)}; the model must treat its examples one by one"
        )
