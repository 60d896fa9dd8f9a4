"""Everything that can go wrong, and who can mend it.

VeiltuneError
├── UserError            the person at the keyboard can mend it: the command exits with 2
│   ├── SpecificationError   a job's YAML or an override
│   ├── DataError            a data file, a template, a partition
│   ├── BackboneError        a language model that cannot be loaded or used
│   └── OutputError          a folder that cannot be written, a run that is not there
└── RunError             something failed while running: the command exits with 1
    ├── PayloadError     what came is damaged or does not belong here
    ├── Withdrawal       a site takes part in no further round of training
    └── Interrupted      stopped by the user; what was recorded can be resumed (exit 130)

Every message is one sentence: what was expected, what came, what to do next.
"""


class VeiltuneError(Exception):
    """The root of all errors that veiltune raises on purpose."""

    exit_code = 1


class UserError(VeiltuneError):
    """The input has to change before this can work."""

    exit_code = 2


class SpecificationError(UserError):
    """A specification or an override is wrong; `faults` lists every fault, one sentence each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class DataError(UserError):
    """A data file, a template or a partition cannot be used as it is."""


class BackboneError(UserError):
    """A frozen language model cannot be loaded or cannot take virtual tokens."""


class OutputError(UserError):
    """A folder cannot be written, or does not hold what was asked for."""


class FolderInUse(OutputError):
    """Another process is working on a run."""


class RunError(VeiltuneError):
    """A run failed although its input was fine."""


class PayloadError(RunError):
    """A payload is damaged or does not belong here; the message names the cause."""


class Withdrawal(RunError):
    """A site takes part in no further round of training, and nothing in the job can change that."""


class Interrupted(RunError):
    """A run was stopped by the user and can be resumed."""

    exit_code = 130
