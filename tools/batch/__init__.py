"""Many sessions reconstructed: on this machine's cores, or on a Ray cluster.

    tasks            what is to be done: a session, settings, and the folder of its run
    worker           the process in which tasks are done, one after the other
    holder           who starts such a process, watches what it takes, and ends it
    running          all tasks: several at once, again where that may help, and never stopped by one of them
    on_ray           the same on the machines of a cluster
    reconstruction   one task
    events           what happens, for people and for programs

A run is the ordinary folder of a run. It is written under its lock and continued where it was left, so that whatever
is killed here - a worker, a machine, the batch - costs the work of one stage since its last checkpoint.
"""
