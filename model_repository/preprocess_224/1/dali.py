from fovea_pipelines.dali_backend import autoserialized

preprocess = autoserialized(__file__)
