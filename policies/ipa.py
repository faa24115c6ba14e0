"""IPA: the variant, batch size and replicas of every stage, from one integer programme.

Source: Inference Pipeline Adaptation, Journal of Systems Research 2024.
"""

from ipa.policies.optimising_policy import OptimisingPolicy


class Ipa(OptimisingPolicy):
    """The published policy: the most accuracy for the least cores within the SLA.

    For the parameters see `OptimisingPolicy` and, for weights and assumptions, `Parameters` of the optimiser.
    """
