"""How much of the CPU a system has used."""
import os

TICK = os.sysconf("SC_CLK_TCK")


def cpu(pid):
    """User and system seconds of a process and the processes below it (Spark's JVM is one)."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    spent = (int(fields[11]) + int(fields[12])) / TICK
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as f:
            spent += sum(cpu(int(child)) for child in f.read().split())
    return spent
