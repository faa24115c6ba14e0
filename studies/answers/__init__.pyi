from . import pages as pages
from . import pictures as pictures
from .pages import headline_html as headline_html
from .pages import render as render
from .pages import tables_html as tables_html
