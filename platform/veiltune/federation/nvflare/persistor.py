"""Where NVFlare asks for the first model and hands over later ones: there is none to keep."""

from nvflare.apis.fl_context import FLContext
from nvflare.app_common.abstract.model import ModelLearnable, make_model_learnable
from nvflare.app_common.abstract.model_persistor import ModelPersistor

from veiltune.federation.nvflare.aggregator import SumAggregator


class SumPersistor(ModelPersistor):
    """Starts from the sums on disk; the coordinator has stored each new one before it is sent.

    The sites derive the first global state from the job's seed, so no model is ever here.
    """

    def __init__(self, factory: str, run: str) -> None:
        super().__init__()
        self.factory = factory
        self.run = run

    def load_model(self, fl_ctx: FLContext) -> ModelLearnable:
        """The first broadcast: after a restart, every sum so far."""
        first = SumAggregator(self.factory, self.run).broadcast()
        return make_model_learnable(first.params, first.meta)

    def save_model(self, model: ModelLearnable, fl_ctx: FLContext) -> None:
        """Nothing to do: see the class."""
