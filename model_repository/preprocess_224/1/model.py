from fovea_pipelines.triton_models import Preprocess as TritonPythonModel  # noqa: F401
