"""How fast gtzan_jax is beside what a user would pick instead, and beside the machine's floor.

``python -m benchmarks`` measures everything; ``python -m benchmarks --help`` tells more.
"""
