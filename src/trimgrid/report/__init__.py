"""Tables and pictures of what the attempts gave. Nothing here knows a framework."""
