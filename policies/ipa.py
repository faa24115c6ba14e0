"""IPA: variant, batch size and replicas of every stage from one integer programme.

Source: Inference Pipeline Adaptation, Journal of Systems Research 2024.
"""

from ipa.policies.planner import Planner


class Ipa(Planner):
    """The published policy: the most accuracy for the least cores within the SLA.

    Parameters: see `Planner` and, for the weights and what is planned with, `Programme`.
    """
