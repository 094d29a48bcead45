"""Charts as inline SVG. Pure: values in, markup out.

Nothing here names a colour: what is drawn has classes, and the page's style sheet knows what they look like in a
light and in a dark scheme. Text would shrink with the picture, so each chart is drawn twice, for a column of a wide
screen and for a phone, and the style sheet shows one of them.
"""
