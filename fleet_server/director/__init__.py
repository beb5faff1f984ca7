"""The director: says online, to each device, which released artifacts it should run now, and what time it is.

In story order: ``assigning`` (what a device should run, from the database), ``store`` (what was signed for it),
``rate`` (how often a device may ask), ``director`` (signing on demand).
"""
