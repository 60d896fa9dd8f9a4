"""The NVFlare engine: the only place of the platform that knows NVFlare."""
