"""What a program calls: trained networks that take pictures and texts as people have them."""
