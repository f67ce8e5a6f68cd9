"""What a device makes of vgtemplate, in eight minutes at most: `make device-check`."""
