"""From a TFLite file to what a program for a microcontroller is built of.

In story order: ``resolver``: which operators TensorFlow Lite for Microcontrollers has; ``planner``: how much memory its
arena takes, by its own rules; ``arrays``: numbers as C arrays; ``sources``: the text of each file; ``bundle``: the
folder, with golden rows answered by the runtime itself where it is installed.
"""

__all__: list[str] = []
