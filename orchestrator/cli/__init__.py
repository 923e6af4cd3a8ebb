"""The commands: words and exit codes. One file for each command, loaded when it is called."""
