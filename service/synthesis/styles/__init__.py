"""Styles: how classes look, in models of the method GroupDNet."""
