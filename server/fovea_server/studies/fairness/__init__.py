"""Whether the model is as right for everybody: the slices of one window, each against the rest."""
