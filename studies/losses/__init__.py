"""What a run lost against the oracle, and to what: the run made again with its causes removed.

causes      the five causes, and the changes of a scenario that remove them
shares      a difference shared out among causes: each order of removing them, and their mean
figures     what a run is judged by
named       the runs of a folder by their names, and those asked for
found       the runs made, and what each cause cost
wording     the same in sentences
pages       the same as pictures and as a page
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
