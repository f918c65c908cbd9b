"""FastAPI with pydantic, as its tutorial teaches it."""

import sys
from typing import Any

import numpy as np
import onnxruntime
import uvicorn


def make(path: str) -> Any:
    from fastapi import FastAPI
    from pydantic import BaseModel

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    app = FastAPI()

    class Asked(BaseModel):  # type: ignore[misc]  # where FastAPI is not installed, its types are not either
        instances: list[list[float]]

    async def predict(asked: Asked) -> dict[str, Any]:
        rows = np.array(asked.instances, np.float32)
        return {"predictions": session.run(None, {name: rows})[0].tolist()}

    app.post("/json")(predict)
    return app


if __name__ == "__main__":
    uvicorn.run(make(sys.argv[1]), port=int(sys.argv[2]), access_log=False, log_level="warning")
