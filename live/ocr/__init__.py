"""Reading text: the detection and recognition models of the pipeline `ocr`, around ONNX Runtime."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
