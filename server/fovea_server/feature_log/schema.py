"""What a record and a feedback are made of: Arrow schemas in which every column says what it means."""

from __future__ import annotations

import pyarrow as pa

VERSION = 1  # of both schemas; a column may be added without a new one, never change its meaning

_TIME = pa.timestamp("us", "UTC")
_TEXTS, _NUMBERS = pa.list_(pa.string()), pa.list_(pa.float32())


def _column(name: str, kind: pa.DataType, meaning: str, *, always: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=not always, metadata={"meaning": meaning})


RECORDS = pa.schema(
    [
        _column("schema_version", pa.int16(), "1", always=True),
        _column("id", pa.string(), "the answer's id; feedback names it", always=True),
        _column("time", _TIME, "when the answer was given, or the refusal", always=True),
        _column("caller", pa.string(), "a keyed hash of the caller's key; empty for nobody in particular", always=True),
        _column("model", pa.string(), "its name; null where the request was refused before a model was known"),
        _column("version", pa.string(), "the model's version"),
        _column("digest", pa.string(), "the digest of the model's package"),
        _column("variant", pa.string(), "what ran the network: openvino, onnxruntime-cuda, tensorrt"),
        _column("precision", pa.string(), "what the network computed in, where the variant says it: f32, bf16, int8"),
        _column("experiment", pa.string(), "the experiment this request was part of"),
        _column("arm", pa.string(), "the experiment's arm that answered"),
        _column("unit", pa.string(), "whom the experiment assigned: a keyed hash"),
        _column("outcome", pa.string(), "OK, or the reason of the error (docs/errors.md)", always=True),
        _column("image_sha256", pa.string(), "of the image's bytes as sent, hexadecimal", always=True),
        _column("image_bytes", pa.int64(), "how many there were", always=True),
        _column("image_format", pa.string(), "null where the header could not be read"),
        _column("image_width", pa.int32(), "pixels, as stored"),
        _column("image_height", pa.int32(), "pixels, as stored"),
        _column("image_orientation", pa.int8(), "the EXIF orientation, 1 to 8"),
        _column("brightness", pa.float32(), "docs/quality.md"),
        _column("contrast", pa.float32(), "docs/quality.md"),
        _column("sharpness", pa.float32(), "docs/quality.md"),
        _column("top_labels", _TEXTS, "the labels of the answer, best first"),
        _column("top_indices", pa.list_(pa.int32()), "their places among the model's labels"),
        _column("top_scores", _NUMBERS, "their softmax probabilities"),
        _column("entropy", pa.float32(), "of all scores, in nats: 0 where the model is certain"),
        _column("embedding", _NUMBERS, "of a sample of the images; float16 in the files, float32 when read"),
        _column("gateway_ms", pa.float32(), "time in the gateway"),
        _column("queue_ms", pa.float32(), "time waiting"),
        _column("preprocess_ms", pa.float32(), "time decoding and resizing"),
        _column("model_ms", pa.float32(), "time in the network"),
        _column("total_ms", pa.float32(), "from receiving the request to the outcome", always=True),
        _column("slices", pa.map_(pa.string(), pa.string()), "what the caller said of the image, by X-Slice"),
        _column("captured", pa.bool_(), "whether the image's bytes were to be kept", always=True),
    ]
)

FEEDBACK = pa.schema(
    [
        _column("schema_version", pa.int16(), "1", always=True),
        _column("id", pa.string(), "of the answer it is about", always=True),
        _column("received", _TIME, "when it was received; what counts as of a moment", always=True),
        _column("caller", pa.string(), "a keyed hash of the key of who gave it", always=True),
        _column("model", pa.string(), "which model's answer it is about; null for every model that gave one"),
        _column("label", pa.string(), "what is true", always=True),
    ]
)

# A record with what was known of its truth at a moment: the record's columns and these.
TRUTH = pa.schema(
    [
        _column("label", pa.string(), "what is true, by the last feedback as of the moment; null where there is none"),
        _column("labelled", _TIME, "when that feedback was received"),
        _column("labels_given", pa.int64(), "how many feedbacks there were, repetitions too", always=True),
        _column("contradicted", pa.bool_(), "whether they did not all say the same", always=True),
        _column("correct", pa.bool_(), "whether the best label is the true one; null without either"),
    ]
)

BY_KIND = {"records": RECORDS, "feedback": FEEDBACK}


def stored(schema: pa.Schema) -> pa.Schema:
    """The same as it lies in files: embeddings in half the bytes."""
    half = pa.list_(pa.float16())
    return pa.schema([field.with_type(half) if field.name == "embedding" else field for field in schema])
