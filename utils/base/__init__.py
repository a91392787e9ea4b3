"""What every other room may use and what knows nothing of videos: errors, commands, flags, files, devices.

Not here: anything about LLP, media or networks.
Imports: nothing of this project.
"""
