from .engine import CompiledEngine as CompiledEngine
from .engine import compile_error as compile_error
from .engine import is_compiled as is_compiled
from .streaming import StreamedEngine as StreamedEngine
