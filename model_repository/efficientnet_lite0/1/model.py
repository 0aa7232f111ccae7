from fovea_pipelines.triton_models import OpenVinoNetwork as TritonPythonModel  # noqa: F401
