"""Object stores: bytes under keys. Usable by itself; knows no packet and no node."""
