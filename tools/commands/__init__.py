"""The commands, one file a command or a small family: a signature and its docstring are parser, help and completion.

What a command needs is imported when it runs, so that help and completion answer at once.
"""
