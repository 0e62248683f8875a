"""What makes scores differ, over many runs.

components   how much of the variance is of subjects, of sessions, of cameras, of what is left: balanced designs
paired       is one setting better than another, over the sessions that both were made of; many at once
power        how many sessions it takes to see a difference
"""
