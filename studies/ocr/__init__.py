"""What the pipeline `ocr` is measured with: pages whose text is known, and how well models read them.

pages     rendered pages of a seed, and their folder · fonts: what they are written in
scores    characters right, boxes found · measure: accuracy of stages and of pairs
into      accuracies written into a pipeline file · client: a picture sent, its text received
alone     the answers of a live run beside those of the models run alone
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
