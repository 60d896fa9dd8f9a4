"""The server's task filter: each site is sent the sums it lacks, and no others."""

from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.dxo_filter import DXOFilter
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable

from veiltune.federation.messages import sums_from
from veiltune.federation.nvflare.aggregator import APPLIED


class SumsForSite(DXOFilter):
    """Cuts the broadcast down to what the receiving site has not confirmed."""

    def __init__(self) -> None:
        super().__init__(supported_data_kinds=[DataKind.WEIGHTS], data_kinds_to_filter=None)

    def process_dxo(self, dxo: DXO, shareable: Shareable, fl_ctx: FLContext) -> DXO:
        """A new message for this site; the broadcast itself is shared and stays as it is."""
        peer = fl_ctx.get_peer_context()
        site = peer.get_identity_name() if peer else None
        meta = {key: value for key, value in dxo.meta.items() if key != APPLIED}
        return DXO(dxo.data_kind, sums_from(dxo.data, dxo.meta[APPLIED].get(site, 0)), meta)
