"""Several calibrated cameras that see one person: what is corrected, in this order, before anything is fitted to it.

    detections      the records that all of this works on: landmarks, and cameras
    triangulate     points in the world out of detections
    sides           left and right, where a detector exchanged them
    clocks          cameras that lag, by the motion that they see
    offsets         cameras that were started one by one, seconds and minutes apart, without a calibration
    sharpen         these to parts of a frame, and drift, with one
    turns           cameras that were turned since their calibration

And the adjuster under turns and calibrations alike:

    rig             its unknowns: cameras with their lenses, and what they see
    prior           what is believed of them beforehand
    bundle          all of them at once
    uncertainty     what the result is worth
"""
