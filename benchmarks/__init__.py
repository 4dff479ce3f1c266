"""Speed of gtzan_jax, compared with alternatives and with the limits of the machine.

``python -m benchmarks`` measures everything; ``python -m benchmarks --help`` lists the flags.
"""
