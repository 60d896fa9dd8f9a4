"""Which of its measurements a site sends in clear: those that a tracked job may be shown.

Where a job asks for differential privacy, nothing leaves that was computed from training examples
without noise: not the training loss, and not the exact time that training took, which depends on
how many examples were drawn and how long they are. A loss or accuracy on validation examples may
leave: of training examples it depends on nothing but released prompts, the global one or the
site's own, and a function of what is already private costs no more (Dwork and Roth 2014,
Proposition 2.1).
"""

from veiltune_jobs.job import JobSpec

ALWAYS = (
    "global_loss",
    "global_accuracy",
    "upload_bytes",
    "download_bytes",
    "seconds_evaluate",
    "seconds_encode",
    "seconds_decode",
)
OWN_PROMPT = ("local_loss", "local_accuracy")
FROM_EXAMPLES = ("train_loss", "seconds_train")


def measurements_sent(spec: JobSpec) -> tuple[str, ...]:
    """The columns of a run's `rounds.parquet` that each site of the job sends in clear.

    Epsilon is among them only where noise is the system's: beside seeded noise the number would
    claim a protection that nobody has.
    """
    if spec.runtime.tracking == "none":
        return ()
    private = spec.privacy.example_level
    own = OWN_PROMPT if spec.evaluation.local_model else ()
    if private.epsilon is None:
        return (*ALWAYS, *own, *FROM_EXAMPLES)
    return (*ALWAYS, *own) if private.noise == "seeded" else (*ALWAYS, *own, "epsilon")
