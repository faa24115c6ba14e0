"""Autoscalers' settings as clusters run them, read as policies and written from them.

`read_settings` turns a manifest into a policy and its parameters; `write_settings` turns a policy into a manifest. One
module for each kind: `horizontal` (HorizontalPodAutoscaler), `keda` (ScaledObject), `knative` (Service, Revision) and
`ray_serve` (autoscaling_config, RayService). `fields` reads a document key by key, so that none is overlooked.
"""

from ipa.policies.settings.reading import Settings, is_settings_file, read_settings
from ipa.policies.settings.writing import FORMATS, format_of, write_settings

__all__ = ["FORMATS", "Settings", "format_of", "is_settings_file", "read_settings", "write_settings"]
