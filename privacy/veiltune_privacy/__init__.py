"""The layer that privacy adds: it fills the platform's two seams."""
