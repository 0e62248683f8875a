"""What a program needs of the machine: `errors` for people, outside files (`assets`), `threads`, kernels kept
`compiled`.
"""
