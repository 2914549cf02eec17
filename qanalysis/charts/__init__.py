"""Pure functions from rows and profiles to plotly figures, in a light and a dark theme; the only place that imports
plotly.

Every figure carries its headline in the title and one sentence for those who can not see it in
`figure.layout.meta["alt"]`.
"""
