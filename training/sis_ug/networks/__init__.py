"""SIS-UG's networks: the rearranger, the semantic mapper, the discriminator; how a pack's are built."""
