from .reading import Settings as Settings
from .reading import is_settings_file as is_settings_file
from .reading import read_settings as read_settings
from .writing import FORMATS as FORMATS
from .writing import format_of as format_of
from .writing import write_settings as write_settings
