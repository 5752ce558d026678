"""How is a report shown? Pure renderers of one Report; `render.render` is the only entry."""
