"""The verbs of the command `maskweave` that call a service: draw, edit, morph and models.

They need click, which `maskweave-client[cli]` brings, and are imported by nothing else of the package.
"""
