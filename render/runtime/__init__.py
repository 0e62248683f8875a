"""What a program needs of the machine: errors for people, outside files, threads, compiled kernels."""
