from fovea_pipelines.triton_gpu_models import Network as TritonPythonModel  # noqa: F401
