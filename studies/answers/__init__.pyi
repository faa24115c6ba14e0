from .outcome import Outcome as Outcome
from .pages import headline_html as headline_html
from .pages import tables_html as tables_html
from .shown import Answers as Answers
from .shown import answer as answer
from .shown import keys_of as keys_of
from .shown import page as page
from .shown import read_answers as read_answers
