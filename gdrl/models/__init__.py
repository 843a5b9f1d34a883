"""``nn.Module``s and functions of tensors: encoder, decoder, beta-VAE, DisGraph, discriminator."""
