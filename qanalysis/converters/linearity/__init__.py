"""The static figures of a converter from code densities: DNL, INL, offset, gain."""
