"""What was asked in a window of time, as the feature log has it: for whoever studies images rather than requests."""
