"""TensorFlow Serving's own messages, read from what our REST paths answer.

Status and metadata are those messages as JSON. Requests and results of REST are not: rows and pairs are
shorter there than in PredictRequest and ClassificationResponse, so of these the inner messages are built.
"""

import sys

import httpx
from google.protobuf import json_format
from tensorflow_serving.apis import classification_pb2, model_pb2, regression_pb2
from tensorflow_serving.apis.get_model_metadata_pb2 import SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse, ModelVersionStatus


def main(address: str) -> None:
    models = f"{address}/v1/models"
    for path in ("scores", "scores/versions/1", "scores/labels/prod"):
        status = json_format.Parse(httpx.get(f"{models}/{path}").text, GetModelStatusResponse())
        (version,) = status.model_version_status
        assert (version.version, version.state) == (1, ModelVersionStatus.AVAILABLE) and version.status.error_code == 0

        metadata = httpx.get(f"{models}/{path}/metadata").json()
        spec = json_format.ParseDict(metadata["model_spec"], model_pb2.ModelSpec())
        assert (spec.name, spec.version.value) == ("scores", 1)
        signatures = json_format.ParseDict(metadata["metadata"]["signature_def"], SignatureDefMap()).signature_def
        signature = signatures["serving_default"]
        assert signature.method_name == "tensorflow/serving/predict"
        (tensor,) = signature.inputs.values()
        assert [axis.size for axis in tensor.tensor_shape.dim] == [-1, 2] and tensor.dtype == 1  # DT_FLOAT

    examples = {"examples": [{"x": [1.0, 2.0]}, {"x": [3.0, 5.0]}]}
    rows = httpx.post(f"{models}/scores:classify", json=examples).json()["result"]
    classes = [
        classification_pb2.Classifications(
            classes=[classification_pb2.Class(label=label, score=score) for label, score in row]
        )
        for row in rows
    ]
    assert [[(each.label, each.score) for each in row.classes] for row in classes] == [
        [("no", 1.0), ("yes", 2.0)],
        [("no", 3.0), ("yes", 5.0)],
    ]
    values = httpx.post(f"{models}/scores:regress", json=examples).json()["result"]
    assert [regression_pb2.Regression(value=value).value for value in values] == [3.0, 8.0]


if __name__ == "__main__":
    main(sys.argv[1])
