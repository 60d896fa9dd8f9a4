"""One thread and no network, for the tests and for every process they start."""

import os

# Set before torch or transformers are imported, which read them once. One thread makes sums come
# out in one order on every machine; a model hub that answers would make a test pass by accident.
os.environ.update(
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
)
