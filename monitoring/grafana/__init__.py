"""The Grafana dashboards: said here in Python, a module for each board, and written as JSON to ``dashboards/``.

``python -m monitoring.grafana`` writes them anew; a test compares. ``model`` knows Grafana's format, and the boards
know nothing of it: a panel is a title, a question or two, and what is good and what is bad.
"""
