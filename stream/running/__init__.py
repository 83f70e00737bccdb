"""What a process that runs for long has around its work: its end, work beside the main one, and outages in its log.

`ending` gives every end one deadline; `background` restarts what fails beside the main work and says so; `outages`
makes one line of the thousands that clients log while a server is away. None of it knows what the process does.
"""
