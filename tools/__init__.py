"""The application: what people run. Installed as `simulacra.tools`; imports inside it are relative.

Read `cli`, then a file of `commands`. `report` makes pages of runs and checks; `virtual` captures people who do not
exist, `design` compares rigs by them; `bench` measures machines.
"""
