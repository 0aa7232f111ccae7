"""From a network somebody has to a model package that is served."""
