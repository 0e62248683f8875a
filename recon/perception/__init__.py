"""What drives training and what judges it: one file per measure, each with its source and its known answers
in the tests.

    psnr.py         peak signal to noise, whole image or under a mask
    psnr_near.py    the same over the person and a rim around it
    ssim.py         structural similarity, differentiable and fast on a CPU (kernels in ssim_cpu.py)
    l1.py           mean absolute difference, whole image or weighted
    mask_iou.py     overlap of two silhouettes
    area_ratio.py   size of one silhouette relative to another
    outline_offset.py  how far an outline lies outside another
    depth_error.py  rendered against measured depth
    normal_error.py  rendered against measured normals
    flicker.py      what changes between frames though the surface only moved
    joints.py       distances of joints in the world (MPJPE)
"""
