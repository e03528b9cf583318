"""What a program calls: trained networks on images as they come."""
