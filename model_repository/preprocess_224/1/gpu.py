from fovea_pipelines.triton_gpu_models import Preprocess as TritonPythonModel  # noqa: F401
