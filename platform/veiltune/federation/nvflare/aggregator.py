"""The coordinator as NVFlare's aggregator: it takes replies in and adds them in site-name order."""

from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.aggregators.model_aggregator import ModelAggregator

from veiltune.errors import PayloadError
from veiltune.federation.coordinator import Coordinator
from veiltune.federation.messages import read_reply
from veiltune.federation.nvflare.client import load_factory

APPLIED = "applied"
"""The broadcast's note of how many sums each site has; the task filter takes it out again."""


class SumAggregator(ModelAggregator):
    """Adds what the sites send; holds sums and counters, and no model.

    NVFlare writes a component's constructor arguments into the job by reading attributes of the
    same names, so each argument is stored.
    """

    def __init__(self, factory: str, run: str) -> None:
        super().__init__()
        self.factory = factory
        self.run = run
        self._coordinator: Coordinator | None = None

    @property
    def coordinator(self) -> Coordinator:
        """The coordinator, built where the server runs and when it is first needed."""
        coordinator = self._coordinator or load_factory(self.factory)(self.run)
        assert isinstance(coordinator, Coordinator)
        self._coordinator = coordinator
        return coordinator

    def reset_stats(self) -> None:
        """Nothing to forget: closing a round does it."""

    def accept_model(self, model: FLModel) -> None:
        """Takes in one site's reply; who answers first does not matter.

        NVFlare has proved who sent it, so a site cannot answer in another's name.
        """
        sender = model.meta["client_name"]
        try:
            reply = read_reply(model.params or {})
        except PayloadError as error:
            self.coordinator.refuse(sender, str(error))
            return
        except (KeyError, TypeError, ValueError, AssertionError):
            self.coordinator.refuse(sender, "its answer could not be read")
            return
        if reply.site != sender:
            self.coordinator.refuse(sender, "it answered in another site's name")
            return
        self.coordinator.receive(reply)

    def aggregate_model(self) -> FLModel:
        """Closes the round and gives the broadcast of the next one."""
        self.coordinator.close_round()
        return self.broadcast()

    def broadcast(self) -> FLModel:
        """The coming round's task for all sites, with a note of what each one has already."""
        return FLModel(
            params_type=ParamsType.FULL,
            params=self.coordinator.broadcast().to_arrays(),
            meta={APPLIED: dict(self.coordinator.applied)},
        )
