from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClassifyRequest(_message.Message):
    __slots__ = ("image", "model", "top_k", "embedding", "request_id", "unit")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    model: str
    top_k: int
    embedding: bool
    request_id: str
    unit: str
    def __init__(self, image: _Optional[bytes] = ..., model: _Optional[str] = ..., top_k: _Optional[int] = ..., embedding: bool = ..., request_id: _Optional[str] = ..., unit: _Optional[str] = ...) -> None: ...

class ClassifyResponse(_message.Message):
    __slots__ = ("id", "model", "predictions", "image", "quality", "embedding", "timings_ms", "experiment")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_MS_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    model: ModelIdentity
    predictions: _containers.RepeatedCompositeFieldContainer[Prediction]
    image: ImageFacts
    quality: Quality
    embedding: _containers.RepeatedScalarFieldContainer[float]
    timings_ms: Timings
    experiment: Exposure
    def __init__(self, id: _Optional[str] = ..., model: _Optional[_Union[ModelIdentity, _Mapping]] = ..., predictions: _Optional[_Iterable[_Union[Prediction, _Mapping]]] = ..., image: _Optional[_Union[ImageFacts, _Mapping]] = ..., quality: _Optional[_Union[Quality, _Mapping]] = ..., embedding: _Optional[_Iterable[float]] = ..., timings_ms: _Optional[_Union[Timings, _Mapping]] = ..., experiment: _Optional[_Union[Exposure, _Mapping]] = ...) -> None: ...

class Exposure(_message.Message):
    __slots__ = ("name", "arm")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    name: str
    arm: str
    def __init__(self, name: _Optional[str] = ..., arm: _Optional[str] = ...) -> None: ...

class AnalyzeRequest(_message.Message):
    __slots__ = ("image", "models", "top_k", "embedding", "request_id", "unit")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    models: _containers.RepeatedScalarFieldContainer[str]
    top_k: int
    embedding: bool
    request_id: str
    unit: str
    def __init__(self, image: _Optional[bytes] = ..., models: _Optional[_Iterable[str]] = ..., top_k: _Optional[int] = ..., embedding: bool = ..., request_id: _Optional[str] = ..., unit: _Optional[str] = ...) -> None: ...

class AnalyzeResponse(_message.Message):
    __slots__ = ("id", "image", "results", "timings_ms", "experiment")
    ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_MS_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    image: ImageFacts
    results: _containers.RepeatedCompositeFieldContainer[Result]
    timings_ms: Timings
    experiment: Exposure
    def __init__(self, id: _Optional[str] = ..., image: _Optional[_Union[ImageFacts, _Mapping]] = ..., results: _Optional[_Iterable[_Union[Result, _Mapping]]] = ..., timings_ms: _Optional[_Union[Timings, _Mapping]] = ..., experiment: _Optional[_Union[Exposure, _Mapping]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("model", "predictions", "quality", "embedding", "timings_ms")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_MS_FIELD_NUMBER: _ClassVar[int]
    model: ModelIdentity
    predictions: _containers.RepeatedCompositeFieldContainer[Prediction]
    quality: Quality
    embedding: _containers.RepeatedScalarFieldContainer[float]
    timings_ms: StageTimings
    def __init__(self, model: _Optional[_Union[ModelIdentity, _Mapping]] = ..., predictions: _Optional[_Iterable[_Union[Prediction, _Mapping]]] = ..., quality: _Optional[_Union[Quality, _Mapping]] = ..., embedding: _Optional[_Iterable[float]] = ..., timings_ms: _Optional[_Union[StageTimings, _Mapping]] = ...) -> None: ...

class StageTimings(_message.Message):
    __slots__ = ("preprocess", "model")
    PREPROCESS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    preprocess: float
    model: float
    def __init__(self, preprocess: _Optional[float] = ..., model: _Optional[float] = ...) -> None: ...

class ClassifyStreamResponse(_message.Message):
    __slots__ = ("id", "answer", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    answer: ClassifyResponse
    error: _status_pb2.Status
    def __init__(self, id: _Optional[str] = ..., answer: _Optional[_Union[ClassifyResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class ModelIdentity(_message.Message):
    __slots__ = ("name", "version", "digest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    digest: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class Prediction(_message.Message):
    __slots__ = ("label", "index", "score")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    label: str
    index: int
    score: float
    def __init__(self, label: _Optional[str] = ..., index: _Optional[int] = ..., score: _Optional[float] = ...) -> None: ...

class ImageFacts(_message.Message):
    __slots__ = ("format", "width", "height", "orientation", "bytes")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    ORIENTATION_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    format: str
    width: int
    height: int
    orientation: int
    bytes: int
    def __init__(self, format: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., orientation: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class Quality(_message.Message):
    __slots__ = ("brightness", "contrast", "sharpness")
    BRIGHTNESS_FIELD_NUMBER: _ClassVar[int]
    CONTRAST_FIELD_NUMBER: _ClassVar[int]
    SHARPNESS_FIELD_NUMBER: _ClassVar[int]
    brightness: float
    contrast: float
    sharpness: float
    def __init__(self, brightness: _Optional[float] = ..., contrast: _Optional[float] = ..., sharpness: _Optional[float] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("gateway", "queue", "preprocess", "model", "total")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    PREPROCESS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    gateway: float
    queue: float
    preprocess: float
    model: float
    total: float
    def __init__(self, gateway: _Optional[float] = ..., queue: _Optional[float] = ..., preprocess: _Optional[float] = ..., model: _Optional[float] = ..., total: _Optional[float] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("identity", "description", "licence", "labels", "default", "ready", "features", "engine")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LICENCE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    identity: ModelIdentity
    description: str
    licence: str
    labels: int
    default: bool
    ready: bool
    features: int
    engine: str
    def __init__(self, identity: _Optional[_Union[ModelIdentity, _Mapping]] = ..., description: _Optional[str] = ..., licence: _Optional[str] = ..., labels: _Optional[int] = ..., default: bool = ..., ready: bool = ..., features: _Optional[int] = ..., engine: _Optional[str] = ...) -> None: ...

class GiveFeedbackRequest(_message.Message):
    __slots__ = ("feedback",)
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    feedback: _containers.RepeatedCompositeFieldContainer[Feedback]
    def __init__(self, feedback: _Optional[_Iterable[_Union[Feedback, _Mapping]]] = ...) -> None: ...

class Feedback(_message.Message):
    __slots__ = ("id", "label", "index", "model")
    ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    id: str
    label: str
    index: int
    model: str
    def __init__(self, id: _Optional[str] = ..., label: _Optional[str] = ..., index: _Optional[int] = ..., model: _Optional[str] = ...) -> None: ...

class GiveFeedbackResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[FeedbackOutcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[FeedbackOutcome, _Mapping]]] = ...) -> None: ...

class FeedbackOutcome(_message.Message):
    __slots__ = ("id", "status", "error")
    class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATUS_UNSPECIFIED: _ClassVar[FeedbackOutcome.Status]
        MATCHED: _ClassVar[FeedbackOutcome.Status]
        PENDING: _ClassVar[FeedbackOutcome.Status]
        REFUSED: _ClassVar[FeedbackOutcome.Status]
    STATUS_UNSPECIFIED: FeedbackOutcome.Status
    MATCHED: FeedbackOutcome.Status
    PENDING: FeedbackOutcome.Status
    REFUSED: FeedbackOutcome.Status
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: FeedbackOutcome.Status
    error: _status_pb2.Status
    def __init__(self, id: _Optional[str] = ..., status: _Optional[_Union[FeedbackOutcome.Status, str]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...
