"""What the pipeline `ocr` is measured with: pages whose text is known, and how well models read them."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
