"""What runs a network on a GPU: ONNX Runtime with CUDA, or TensorRT; and which of them serves a model."""
