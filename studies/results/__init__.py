"""Results on disk: folders of parquet tables, journals and manifests, each written whole or not at all.

folder       filling a results folder: of one run, or of a comparison
stored       runs read back
journal      its journal, compressed or not
manifest     what a folder says it holds
provenance   versions, the digest of the source, hashes of the files a run read
whole        writing a file or a folder whole or not at all
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
