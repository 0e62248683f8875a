"""`simulacra view`: runs and captures looked at in a browser, on one server and one port.

entries.py    the runs and captures that are shown: found, and found again as they come and go
summary.py    what is in one of them, from its JSON files alone
measures.py   scores of every view and frame, as lists of the worst and as strips over time
checks.py     digests of its records, checked beside the work
tags.py       what people say of views: JSON lines beside the run
cache.py      pictures in memory, no more than so many bytes
layers.py     which pictures there can be of it, and why others cannot
preparation.py  what is opened before anybody waits for it
pictures.py   pictures that are files of a run, and what is made of two of them
drawing.py    pictures of our own rasterizer, and of the capture
scene.py      meshes, points and splats for the browser
play.py       poses, motions and clips
inspection.py what the preflight sees in a capture, painted on it
access.py     who may ask: hosts, origins, the token, the content policy
app.py        the page, and the routes (routes.py) behind it; serve.py the server
page/         the page

Nothing of torch is imported before a picture is asked for that is no file of the run.
"""
