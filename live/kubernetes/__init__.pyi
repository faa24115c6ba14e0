from . import deploy as deploy
from . import in_cluster as in_cluster
from . import manifests as manifests
from . import models as models
from .settings import Layout as Layout
from .settings import memory_bytes as memory_bytes
