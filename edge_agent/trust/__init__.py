"""What this device believes: two signed repositories, and what both name for it [wire-4.2].

In story order: ``source`` (who is asked), ``spelling`` (bytes before they are parsed), ``teams`` (what a delegation may
give), ``repository`` (one repository, by python-tuf's rules), ``memory`` (the largest numbers ever seen, two copies),
``director`` (what is signed for this device alone), ``decision`` (what both name), ``trust`` (from an offer to a pinned
plan), ``standing`` (what a person beside the device is shown); ``errors`` has one class and one stable code for each
refusal.

The nine rules of the design and their places: 1 roots, lengths, rotations: ``repository``; 2 both must name it:
``decision``; 3 floors: ``memory`` and ``trust``; 4 time: ``director`` and ``memory``; 5 a pinned plan is not judged
again: ``edge_agent.update.machine``; 6 bytes before parsing: ``spelling``; 7 one format for every size of device:
what a smaller one leaves out is the model repository; 8 roots come with the configuration: ``repository``;
9 keys are replaced by roots alone: ``repository`` and ``memory``.
"""

__all__: list[str] = []
