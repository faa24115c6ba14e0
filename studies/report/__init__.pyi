from .page import render as render
from .page import write as write
