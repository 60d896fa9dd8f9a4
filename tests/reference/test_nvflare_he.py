"""Our encrypted mean against the one that NVFlare's own encryption filters give."""

from pathlib import Path

import numpy as np
import pytest

from veiltune_analysis.bench.exchange import Federation, Variant, encrypted_exchange, make_key
from veiltune_analysis.bench.nvflare_he import NvflareExchange, nvflare_quiet

PARAMS = 6000
"""Several ciphertexts of NVFlare's and of ours, the last one not full."""

# NVFlare divides under encryption, which divides the scale of 2 ** 40 by a prime near 2 ** 40.
# TenSEAL takes the scale for 2 ** 40 afterwards, but the prime, the second largest below that is 1
# modulo 2 ** 14, is 737279 less (7e-7). The noise of its ciphertexts is far below that.
NVFLARE_RELATIVE_ERROR = 1e-6

VARIANTS = [
    Variant("ckks", 16),
    Variant("ckks", 16, "full"),
    Variant("bfv", 16),
    Variant("ckks", 12),
    Variant("bfv", 12, "full"),
]


@pytest.mark.parametrize("sites", [2, 5])
def test_both_means_agree_within_both_errors(sites: int, tmp_path: Path) -> None:
    federation = Federation(sites, PARAMS)
    updates = {site: federation.update(site) for site in federation.names}
    with nvflare_quiet():
        nvflare = NvflareExchange(tmp_path)
        messages = [
            nvflare.encrypt(site, update, federation.weight(site))
            for site, update in updates.items()
        ]
        theirs = np.asarray(nvflare.decrypt(nvflare.add(messages)))
    their_error = NVFLARE_RELATIVE_ERROR * np.abs(theirs).max()
    assert np.abs(theirs - federation.mean()).max() <= their_error
    for variant in VARIANTS:
        exchange = encrypted_exchange(federation, variant, make_key(federation, variant))
        uploads = [exchange.encrypt(site, update) for site, update in updates.items()]
        ours = exchange.decrypt(exchange.add(uploads))
        difference = np.abs(ours.mean.numpy() - theirs).max()
        assert difference <= ours.error_bound + their_error
        # Rounding to so few bits shows, so the bound is not simply wide.
        assert difference > ours.error_bound / 4
