"""Renderings of results: for people, for programs, for Markdown. No logic, no printing.

Every command yields a `Report` (`growplan.views.report`): one value, several forms.
"""
