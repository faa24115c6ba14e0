"""Reading text: the detection and recognition models of the pipeline `ocr`, around ONNX Runtime.

detection    `Detection`: where lines of text are · boxes: from a map of probabilities to boxes
recognition  `Recognition`: what they say · lines: the lines of a picture as one element of a tensor
wheels       the models in the wheels of the extra `ocr` · model_folder: the folder that servers load them from
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
