"""Example-level differential privacy: clipping, mechanism, accounting, the ledger."""
