"""The contestants of ``bench engine`` that are not ours, each as its users would write it.

Every file is run as ``python -m helpers.bench.servers.NAME MODEL.onnx PORT``.
"""
