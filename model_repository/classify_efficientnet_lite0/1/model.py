from fovea_pipelines.triton_models import DecodeAndInfer as TritonPythonModel  # noqa: F401
