"""The figures of an atlas as attributes, for notebooks."""

from matplotlib.figure import Figure

from dynatlas.errors import UnknownFigureError
from dynatlas.figures.reading import AtlasLike
from dynatlas.figures.saving import Picture, attribute, find, pictures


class Plots:
    """Every figure of an atlas by its name: ``atlas.plot("fig1")`` or ``atlas.plot.fig1()``.

    In an attribute ``_`` stands for ``-``: ``atlas.plot.appendix_c()``. ``dir(atlas.plot)`` lists them, and
    ``atlas.plot.fig1.caption`` says how to read one. What is drawn is the matplotlib figure that ``dynatlas figures``
    saves; notebooks show it, and its ``savefig`` keeps the style.
    """

    def __init__(self, atlas: AtlasLike) -> None:
        self._atlas = atlas

    def __call__(self, name: str) -> Figure:
        """Draw one figure.

        Raises:
            UnknownFigureError: there is no such figure; the nearest names are given, and all.
        """
        [picture] = find(self._atlas, [name])
        return picture()

    def __getattr__(self, name: str) -> Picture:
        if name.startswith("_"):  # what notebooks and copy ask of every object
            raise AttributeError(name)
        try:
            [picture] = find(self._atlas, [name])
        except UnknownFigureError as error:
            raise AttributeError(str(error)) from None
        return picture

    def __dir__(self) -> list[str]:
        return [attribute(name) for name in pictures(self._atlas)]

    def __repr__(self) -> str:
        return f"figures of {self._atlas.study.name!r}: {', '.join(pictures(self._atlas))}"
