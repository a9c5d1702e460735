"""Memory that was free once is kept for what comes next, and what is new comes in small pages.

By its defaults the C library gives each large block back to the kernel when it is freed, and has the pages of the next
one made anew: on a virtual machine either takes tens of milliseconds for 64 MiB, with the interpreter's lock held. A
process that answers many clients would answer nobody meanwhile.

Given back is what is free at the end of the heap, beyond a bound. What lies below a block that is still used is kept
until that goes: never more than was used at the same time.

A huge page is cleared as a whole when it is first written to, with the interpreter's lock held: 4 to 10 ms were seen on
a virtual machine whose host had to find that memory. NumPy asks for such pages for each large array.
"""

from __future__ import annotations

import ctypes

KEPT_BYTES = 128 << 20  # free at the end of the heap: a body of the largest size, in pieces and put together
STEP_BYTES = 2 << 20  # beyond that are free before any of it is given back

# malloc.h of the GNU C library; mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_SET_THP_DISABLE = 41  # linux/prctl.h; PR_SET_THP_DISABLE(2const)


def keep_freed() -> bool:
    """Have this process keep what it frees, `KEPT_BYTES` of it at the heap's end; False where the C library cannot."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    options = {
        _ARENA_MAX: 1,  # else each thread has a heap of its own, and what one frees does not serve another
        _MMAP_MAX: 0,  # large blocks, too, come from the heap
        _TOP_PAD: KEPT_BYTES,
        _TRIM_THRESHOLD: KEPT_BYTES + STEP_BYTES,
    }
    taken = [mallopt(option, value) for option, value in options.items()]
    return all(taken)


def small_pages() -> bool:
    """Have this process, and those that it starts from now on, use no huge pages; False where the kernel cannot."""
    done: int = ctypes.CDLL(None).prctl(_SET_THP_DISABLE, *map(ctypes.c_ulong, (1, 0, 0, 0)))
    return done == 0
