"""Devices: how they join, what they last said, what they were last offered."""
