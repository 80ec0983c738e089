"""Data and models of the article's three examples: a regression, a forecast, image classes."""
