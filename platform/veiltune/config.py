"""The base of every section of a specification."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys and infinite numbers.

    A section lives beside the code it configures and holds plain values only, so that a
    specification can be written to YAML and read back to the same object.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )
