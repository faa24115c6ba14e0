"""Policies that go wrong, each in its own way."""

import os

from ipa.policies import Decision


class _Hold:
    def __init__(self, pipeline):
        pass

    def decide(self, observation, memory):
        return Decision(configuration=observation.configuration, memory={})


class Raises(_Hold):
    def decide(self, observation, memory):
        raise ValueError("no idea")


class Ends(_Hold):
    def decide(self, observation, memory):
        os._exit(3)


class Prints(_Hold):
    def decide(self, observation, memory):
        print("on stdout")
        return super().decide(observation, memory)


class Waits(_Hold):
    """Until a file is gone that a test has made; from some second of the load on."""

    def __init__(self, pipeline, file, since_s=0):
        self.file = file
        self.since_s = since_s

    def decide(self, observation, memory):
        while observation.time_s >= self.since_s and os.path.exists(self.file):
            os.stat(".")
        return super().decide(observation, memory)
