"""The web page of `eyespot demo`: a small server, and one page written by hand."""
