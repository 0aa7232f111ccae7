from fovea_pipelines.dali_backend import autoserialized

preprocess = autoserialized(__file__, package="efficientnet_lite0")
