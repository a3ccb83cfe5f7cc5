"""How quick it is, beside limits and peers: one module a question, `python -m benchmarks` asks all.

Each question prints its figures beside a baseline that was measured in the same run, by turns,
because a figure without one says more about the machine than about the code. Nothing is asserted:
a missed aim says `missed`, and the exit code stays 0. Needs Linux (`/proc`, CPU affinity).
"""
