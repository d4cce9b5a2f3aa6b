"""GroupDNet's networks: encoder, decoder, discriminator."""
