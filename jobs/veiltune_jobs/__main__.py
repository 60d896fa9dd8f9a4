"""`python -m veiltune_jobs` is the command `veiltune`."""

from veiltune_jobs.cli import main

main()
