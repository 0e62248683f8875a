"""`report.html`: one file that shows what a run made and how good it is, readable without a connection.

content.py    what a report says, as records, and reading them from a run's folder
charts.py     line charts as SVG text; `strips.py` numbers over time, `scores_table.py` tables
write.py      the page: records and pictures into report.html, by `html_page.py`
curves.py     the losses of a training in a terminal or a notebook

`check_page.py` and `check_pictures.py` make `check.html` of a preflight.
"""
