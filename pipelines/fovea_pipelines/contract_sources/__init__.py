"""Contracts from the descriptions people already have: torchvision's, timm's, Hugging Face's and Ultralytics'.

None of these libraries is imported. What a description says and the contract cannot is refused by name. None of them
says what becomes of the EXIF orientation: the contracts turn the image upright, which the library's own loader does at
Hugging Face (`load_image`) and Ultralytics (`cv2.imread`), and training code around torchvision and timm leaves to
chance; `dataclasses.replace(source.contract, orientation="ignore")` says otherwise.
"""

from fovea_pipelines.contract_sources.huggingface import from_huggingface
from fovea_pipelines.contract_sources.source import Source
from fovea_pipelines.contract_sources.timm import from_timm
from fovea_pipelines.contract_sources.torchvision import from_torchvision
from fovea_pipelines.contract_sources.ultralytics import from_ultralytics

__all__ = ["Source", "from_huggingface", "from_timm", "from_torchvision", "from_ultralytics"]
