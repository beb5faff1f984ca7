"""Getting what was asked for: metadata and artifacts, over a link that loses, repeats, delays and lies.

In story order: ``courier`` (asking the server), ``pace``, ``window`` (how much at once), ``detour`` and ``chunk_line``
(the way round a broker that gives nothing), ``partial`` (half-fetched, on disk), ``known`` (what is here already),
``pull`` (asking for chunks and taking them), ``delta`` (the difference from a version that is here),
``delta_process`` (applying it), ``fetch`` (an artifact).
"""

__all__: list[str] = []
