"""One question a script: ``python -m benchmarks.NAME [--quick] [--json]``; ``python -m benchmarks`` runs all."""
