"""What the sidecar promises of its data, tried out: kills, rotations cut short, databases that fail.

``python -m benchmarks.soak --kills 1000``; every process in it is real, and so is every disk.
"""
