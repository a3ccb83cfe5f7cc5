"""What tracking costs: one file a question, `python -m benchmarks` asks them all.

Each question prints its figure beside a baseline that was measured in the same run, because a
figure without one says more about the machine than about the code. Nothing is asserted: a
missed aim says `missed`, and the exit code stays 0. Needs Linux (`/proc`, CPU affinity).
"""
