"""The contestants of ``bench engine`` that are not ours, each as its users would write it.

A file is run as ``python -m helpers.bench.servers.NAME MODEL.onnx PORT``, some with ``batching`` behind it;
``session_loop``, which is no server, says itself how.
"""
