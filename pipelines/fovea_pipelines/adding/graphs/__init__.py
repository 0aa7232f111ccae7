"""Networks as ONNX graphs: read, trace, cut and fit to pixels. No PyTorch, no running of anything."""
