"""Pins the settings of JAX that figures depend on, whatever the environment or a notebook sets.

All code that computes with JAX runs in :func:`pinned`.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator

PINNED: dict[str, object] = {
    # Types of numbers, random numbers.
    "jax_enable_x64": False,
    "jax_default_dtype_bits": "64",
    "jax_default_prng_impl": "threefry2x32",
    "jax_enable_custom_prng": False,
    "jax_legacy_prng_key": "allow",
    "jax_random_seed_offset": 0,
    "jax_threefry_partitionable": True,
    "jax_threefry_gpu_kernel_lowering": False,
    # Tracing, compiling and running programs.
    "jax_disable_jit": False,
    "jax_no_tracing": False,
    "jax_no_execution": False,
    "jax_default_device": None,
    "jax_disable_most_optimizations": False,
    "jax_optimization_level": "UNKNOWN",
    "jax_exec_time_optimization_effort": 0.0,
    "jax_memory_fitting_effort": 0.0,
    "jax_memory_fitting_level": "O2",
    # Checks that would stop a correct program, for a diverged trial or without a cache.
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    "jax_debug_key_reuse": False,
    "jax_check_tracer_leaks": False,
    "jax_enable_checks": False,
    "jax_error_checking_behavior_nan": "ignore",
    "jax_error_checking_behavior_divide": "ignore",
    "jax_error_checking_behavior_oob": "ignore",
    "jax_array_garbage_collection_guard": None,
    "jax_thread_guard": False,
    "jax_transfer_guard": None,
    "jax_transfer_guard_host_to_device": None,
    "jax_transfer_guard_device_to_device": None,
    "jax_transfer_guard_device_to_host": None,
    "jax_raise_persistent_cache_errors": False,
}

_lock = threading.Lock()  # of the following variables
_depth = 0  # contexts in which the settings are pinned, of all threads
_before: dict[str, object] = {}
_prepare: Callable[[], object] | None = None


def prepare_with(prepare: Callable[[], object] | None) -> None:
    """Sets a function to call before this process first computes; it selects the platform."""
    global _prepare
    _prepare = prepare


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """Pins JAX's settings for all threads of this process; restores them afterwards."""
    global _depth, _prepare
    import jax

    with _lock:
        prepare, _prepare = _prepare, None
        if prepare:
            prepare()
        if not _depth:
            values = jax.config.values
            changed = {n: v for n, v in PINNED.items() if n in values and values[n] != v}
            _before.update({name: values[name] for name in changed})
            _update(changed)
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if not _depth:
                _update(_before)
                _before.clear()


def _update(settings: dict[str, object]) -> None:
    import jax

    for name, value in settings.items():
        jax.config.update(name, value)
