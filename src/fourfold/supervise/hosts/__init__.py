"""Host processes that services share, and the guests in them."""
