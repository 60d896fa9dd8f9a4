"""Live progress of a run, read from what its sites and its server have written so far."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from veiltune.federation.site_state import read_rows
from veiltune.records import RunFolder

REFRESH_S = 0.5


class RunProgress:
    """A line on standard error: rounds, loss, bytes, epsilon, time left.

    It looks at files only, so it shows the same under every engine. Where standard error is not a
    terminal it prints one plain line a round instead.
    """

    def __init__(self, folder: RunFolder, sites: tuple[str, ...], rounds: int, show: bool) -> None:
        self.folder = folder
        self.sites = sites
        self.rounds = rounds
        self.show = show
        self.console = Console(stderr=True, highlight=False)
        self._looked = 0.0
        self._said = 0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("round {task.completed}/{task.total}  {task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not (show and self.console.is_terminal),
        )
        self._task = self._bar.add_task(folder.path.parent.name, total=rounds, note="starting")

    def __enter__(self) -> "RunProgress":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._look()
        self._bar.stop()

    def tick(self) -> None:
        """Looks at the run's files, at most twice a second."""
        if self.show and time.monotonic() - self._looked >= REFRESH_S:
            self._look()

    def _look(self) -> None:
        self._looked = time.monotonic()
        outcomes = self.folder.outcomes()
        done = min(len(outcomes), self.rounds)
        note = self._note()
        self._bar.update(self._task, completed=done, note=note)
        for outcome in outcomes[self._said :]:
            for site, reason in outcome["missing"].items():
                self._say(f"round {outcome['round']}: {site} is missing ({reason})")
        if self.show and not self.console.is_terminal and done > self._said:
            self._say(f"round {done}/{self.rounds}  {note}")
        self._said = max(self._said, len(outcomes))

    def _say(self, line: str) -> None:
        if self.show:
            self.console.print(line)

    def _note(self) -> str:
        rows = [row for site in self.sites for row in read_rows(self.folder.site(site))]
        measured = [row for row in rows if row["global_loss"] == row["global_loss"]]
        if not measured:
            return "the sites are starting"
        last = max(row["round"] for row in measured)
        losses = [row["global_loss"] for row in measured if row["round"] == last]
        sent = sum(row["upload_bytes"] for row in rows)
        loss = sum(losses) / len(losses)
        spent = [row["epsilon"] for row in rows if row["epsilon"] == row["epsilon"]]
        epsilon = f"at most {max(spent):.2f}" if spent else "none"
        return f"validation loss {loss:.3f}  {sent / 1e6:.2f} MB up  epsilon: {epsilon}"
