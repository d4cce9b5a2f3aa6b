"""`python -m maskweave_client._command`: the command `maskweave-client`."""

from maskweave_client._command.main import main

main()
