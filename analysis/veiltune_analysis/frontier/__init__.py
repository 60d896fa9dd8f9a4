"""Loss against epsilon: what privacy costs, and what can be said of it with few seeds."""

from veiltune_analysis.frontier.data import (
    LOCAL_ACCURACY,
    LOCAL_LOSS,
    TEST_ACCURACY,
    TEST_LOSS,
    VALIDATION_ACCURACY,
    VALIDATION_LOSS,
    Frontier,
    Measure,
    frontiers,
    sweep_points,
)
from veiltune_analysis.frontier.equal import at_equal_epsilon
from veiltune_analysis.frontier.findings import described, findings
from veiltune_analysis.frontier.knee import Knee, knee
from veiltune_analysis.frontier.monotone import MonotoneFit, monotone_fit
from veiltune_analysis.frontier.parametric import Curve, ParametricFit, parametric_fit
from veiltune_analysis.frontier.price import price_table
from veiltune_analysis.frontier.within import Crossing, EpsilonWithin, epsilon_within

__all__ = [
    "LOCAL_ACCURACY",
    "LOCAL_LOSS",
    "TEST_ACCURACY",
    "TEST_LOSS",
    "VALIDATION_ACCURACY",
    "VALIDATION_LOSS",
    "Crossing",
    "Curve",
    "EpsilonWithin",
    "Frontier",
    "Knee",
    "Measure",
    "MonotoneFit",
    "ParametricFit",
    "at_equal_epsilon",
    "described",
    "epsilon_within",
    "findings",
    "frontiers",
    "knee",
    "monotone_fit",
    "parametric_fit",
    "price_table",
    "sweep_points",
]
