"""How is a checkpoint read that lies on another machine? By its header and by byte ranges, over HTTP."""
