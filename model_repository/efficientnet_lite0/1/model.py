from fovea_pipelines.triton_models import OpenVinoClassifier as TritonPythonModel  # noqa: F401
