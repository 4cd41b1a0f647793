"""Several processes that train one model: each takes a share of every batch, and their gradients are added up.

    mpirun -n 4 scratchae train convolutional           # the command does all of it by itself
    mpirun -n 4 python script.py                        # a script begins with

    import scratchae
    processes = scratchae.distributed.start()           # without mpirun one process, and nothing changes
    ...                                                 # every process makes the same model and opens the same data
    auto.fit(x, x, batch_size=256)                      # together: 256 samples a step, 64 of them in each of four
    if processes.rank == 0:
        auto.save_weights("auto.safetensors")

`fit` is what the processes do together; evaluate, predict and train_on_batch are each process's own affair.

The weights come out as those of one process with the same batch size, but for the order in which float32 numbers are
added. From run to run with as many processes they are the same bits: MPI asks of MPI_Allreduce that it give the same
result whenever it gets the same arguments (MPI 4.1, 6.9.1), and Open MPI and MPICH choose its algorithm by the numbers
of processes and elements alone. An order of our own would cost a second message a step, and a copy of all gradients.
"""

from .group import ALONE, Group
from .starting import group_on, say, start, world

__all__ = ["ALONE", "Group", "group_on", "say", "start", "world"]
