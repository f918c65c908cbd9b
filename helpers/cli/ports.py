"""Ports, as they are written on the command line."""

import argparse


def port_number(text: str) -> int:
    """A TCP port; 0 lets the system choose."""
    if not text.isdigit() or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)
