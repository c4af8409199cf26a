"""Faults that labs meet in their first week, in loops: kills, flipped bits, odd studies, full disks."""
